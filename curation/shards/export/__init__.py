"""The published tables in the words of trainers and of benchmarks, streamed.

``formats.FORMATS`` names them; ``read.rows`` reads a table in batches; ``write.writer`` writes JSON, JSON lines or Parquet.
"""
