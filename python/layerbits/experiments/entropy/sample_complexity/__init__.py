"""Mean error of the plug-in entropy by number of samples and dimension."""
