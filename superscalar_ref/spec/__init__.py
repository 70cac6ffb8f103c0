"""Loading and checking the files of spec/: machines, parameters, properties, variants."""
