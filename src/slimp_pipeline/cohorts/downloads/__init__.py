"""Getting a cohort's files: from the ISIC Archive, as a published release, or by hand; each accounted for."""
