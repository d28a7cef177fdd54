"""Pages, tables and the terminal: drawing of plain values, which decides nothing."""
