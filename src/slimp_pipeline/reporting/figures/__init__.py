"""Figures, as Plotly: interactive in Kedro-Viz, MLflow and the report alike."""
