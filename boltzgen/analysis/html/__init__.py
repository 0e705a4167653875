"""The report of an analysis as one HTML file that opens in any browser, without a network."""
