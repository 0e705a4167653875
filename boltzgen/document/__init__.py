"""Results as a page for a browser: text, tables and a picture in one file."""
