"""Speaker verification: embeddings of voices from spectrograms on a Res2Net backbone."""
