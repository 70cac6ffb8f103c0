"""The report: its data, the page, the terminal."""
