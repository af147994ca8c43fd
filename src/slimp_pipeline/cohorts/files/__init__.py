"""Files as they come: tables of any form, folders and HDF5 files of images."""
