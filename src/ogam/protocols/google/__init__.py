"""What Google's protocols share. Knows none of them."""
