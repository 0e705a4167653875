"""Pictures and tables from weighted samples."""
