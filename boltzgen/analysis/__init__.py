"""Tables and pictures of weighted samples."""
