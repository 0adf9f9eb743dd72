"""Facts -> wording, options, balance."""
