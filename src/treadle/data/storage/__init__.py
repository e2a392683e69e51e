"""Where contents and pages lie: packs of small ones, blobs of large ones."""
