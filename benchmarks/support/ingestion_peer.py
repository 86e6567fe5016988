"""The same files through LlamaIndex or LangChain, with the same model: python ingestion_peer.py PEER DOCS MODEL.

Both read HTML as their own pages on it say (BeautifulSoup), cut it at 200 tokens or their usual equivalent of about
1,000 characters, and write vectors to what they come with (LlamaIndex's store on disk, Chroma).
"""

import json
import sys
import tempfile
import time
from pathlib import Path


def llamaindex(docs: Path, model: str, kept: str) -> int:
    from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.readers.file import HTMLTagReader

    started.append(time.perf_counter())
    embedding = HuggingFaceEmbedding(model_name=model, device="cpu", embed_batch_size=64)
    reader = HTMLTagReader(tag="body")
    documents = SimpleDirectoryReader(str(docs), file_extractor={".html": reader}).load_data()
    nodes = SentenceSplitter(chunk_size=200, chunk_overlap=20).get_nodes_from_documents(documents)
    index = VectorStoreIndex(nodes, embed_model=embedding)
    index.storage_context.persist(kept)
    return len(nodes)


def langchain(docs: Path, model: str, kept: str) -> int:
    from langchain_chroma import Chroma
    from langchain_community.document_loaders import BSHTMLLoader, DirectoryLoader
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    started.append(time.perf_counter())
    embedding = HuggingFaceEmbeddings(
        model_name=model, model_kwargs={"device": "cpu"}, encode_kwargs={"batch_size": 64}
    )
    documents = DirectoryLoader(str(docs), glob="*.html", loader_cls=BSHTMLLoader).load()
    chunks = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=100).split_documents(documents)
    store = Chroma(embedding_function=embedding, persist_directory=kept)
    for start in range(0, len(chunks), 5000):
        store.add_documents(chunks[start : start + 5000])
    return len(chunks)


started: list[float] = []

if __name__ == "__main__":
    peer, docs, model = sys.argv[1:]
    with tempfile.TemporaryDirectory() as kept:
        count = {"llamaindex": llamaindex, "langchain": langchain}[peer](Path(docs), model, kept)
        print(json.dumps({"seconds": time.perf_counter() - started[0], "chunks": count}), flush=True)
