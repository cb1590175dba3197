"""The paper's experiments: deep ViTs with content and with positional attention, on images."""
