"""What people look at: tables, comparisons, plots, pages."""
