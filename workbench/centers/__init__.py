"""Class sets: which class centers a batch is compared with, and who owns them."""
