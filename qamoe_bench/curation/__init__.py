"""Getting, looking at and converting data files; nothing here lies between a data file and a prediction."""
