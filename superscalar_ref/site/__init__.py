"""The reviewer's page: the whole specification, with what checking found, as one HTML file that needs nothing else."""
