"""Tables -> Parquet, video files and the dataset card of a Hugging Face dataset folder."""
