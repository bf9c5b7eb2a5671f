"""Scripts that made the data files of this project; nothing at run time imports them."""
