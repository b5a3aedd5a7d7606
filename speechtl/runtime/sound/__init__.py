"""Read sound: files of any format, and raw samples."""
