"""The working tree: data as files in the project's folder, and the pointers that Git keeps."""
