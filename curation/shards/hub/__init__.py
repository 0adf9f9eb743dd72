"""A published folder made ready for the Hugging Face Hub: card, plots, Croissant, videos embedded by option."""
