"""convscope."""
