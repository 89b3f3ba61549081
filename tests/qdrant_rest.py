"""A stand-in for a Qdrant server: the few REST routes the gallery uses, over the real engine (Qdrant Edge).

What it proves: that what our server gallery sends is valid for the official client's own request models,
travels over real HTTP, and means the right thing to the real engine; that status codes become our outcomes.
What it does not prove: anything about a real server's optimiser, write-ahead log, sharding, replication,
limits or authorisation. For that set WATCHLINE_TEST_QDRANT_URL: the same contract test then runs there too.
"""

from __future__ import annotations

import shutil
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as engine
import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from qdrant_client import models as qdrant

DISTANCES = {qdrant.Distance.COSINE: engine.Distance.Cosine}


class Collections:
    """Shards by collection name, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.shards: dict[str, engine.EdgeShard] = {}
        self.vectors: dict[str, qdrant.VectorParams] = {}

    def create(self, name: str, request: qdrant.CreateCollection) -> None:
        if name in self.shards:
            raise HTTPException(409, f"Collection `{name}` already exists!")
        vectors = request.vectors
        parameters = engine.EdgeVectorParams(size=vectors.size, distance=DISTANCES[vectors.distance])
        path = self.directory / name
        path.mkdir()
        self.shards[name] = engine.EdgeShard.create(str(path), engine.EdgeConfig(vectors=parameters))
        self.vectors[name] = vectors

    def shard(self, name: str) -> engine.EdgeShard:
        if name not in self.shards:
            raise HTTPException(404, f"Not found: Collection `{name}` doesn't exist!")
        return self.shards[name]

    def drop(self, name: str) -> bool:
        if name not in self.shards:
            return False
        self.shards.pop(name).close()
        shutil.rmtree(self.directory / name)
        return True

    def info(self, name: str) -> qdrant.CollectionInfo:
        state = self.shard(name).info()
        return qdrant.CollectionInfo(
            status=qdrant.CollectionStatus.GREEN,
            optimizer_status=qdrant.OptimizersStatusOneOf.OK,
            points_count=state.points_count,
            segments_count=state.segments_count,
            payload_schema={},
            config=qdrant.CollectionConfig(
                params=qdrant.CollectionParams(vectors=self.vectors[name]),
                hnsw_config=qdrant.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
                optimizer_config=qdrant.OptimizersConfig(
                    deleted_threshold=0.0,
                    vacuum_min_vector_number=100,
                    default_segment_number=1,
                    flush_interval_sec=5,
                ),
            ),
        )


routes = APIRouter()


def answer(result: object) -> dict[str, object]:
    return {"result": result, "status": "ok", "time": 0.0}


def collections(request: Request) -> Collections:
    return request.app.state.collections


@routes.get("/collections")
async def list_collections(request: Request):
    return answer({"collections": [{"name": name} for name in collections(request).shards]})


@routes.get("/collections/{name}/exists")
async def exists(request: Request, name: str):
    return answer({"exists": name in collections(request).shards})


@routes.get("/collections/{name}")
async def info(request: Request, name: str):
    return answer(collections(request).info(name).model_dump(mode="json"))


@routes.put("/collections/{name}")
async def create(request: Request, name: str, body: dict):
    collections(request).create(name, qdrant.CreateCollection.model_validate(body))
    return answer(True)


@routes.delete("/collections/{name}")
async def drop(request: Request, name: str):
    return answer(collections(request).drop(name))


@routes.put("/collections/{name}/points")
async def upsert(request: Request, name: str, body: dict):
    points = qdrant.PointsList.model_validate(body).points
    stored = [engine.Point(point.id, point.vector, point.payload) for point in points]
    collections(request).shard(name).update(engine.UpdateOperation.upsert_points(stored))
    return answer({"operation_id": 0, "status": "completed"})


@routes.post("/collections/{name}/points/delete")
async def delete(request: Request, name: str, body: dict):
    chosen = qdrant.PointIdsList.model_validate(body).points
    collections(request).shard(name).update(engine.UpdateOperation.delete_points(chosen))
    return answer({"operation_id": 0, "status": "completed"})


@routes.post("/collections/{name}/points/count")
async def count(request: Request, name: str, body: dict):
    qdrant.CountRequest.model_validate(body)
    return answer({"count": collections(request).shard(name).count(engine.CountRequest(exact=True))})


@routes.post("/collections/{name}/points/scroll")
async def scroll(request: Request, name: str, body: dict):
    asked = qdrant.ScrollRequest.model_validate(body)
    chosen = asked.filter and engine.Filter(
        must=[engine.FieldCondition(term.key, match=engine.MatchValue(term.match.value)) for term in asked.filter.must]
    )
    page = engine.ScrollRequest(
        offset=asked.offset, limit=asked.limit, filter=chosen, with_payload=True, with_vector=bool(asked.with_vector)
    )
    records, following = collections(request).shard(name).scroll(page)
    points = [{"id": str(record.id), "payload": record.payload, "vector": record.vector} for record in records]
    return answer({"points": points, "next_page_offset": following and str(following)})


@routes.post("/collections/{name}/points")
async def retrieve(request: Request, name: str, body: dict):
    asked = qdrant.PointRequest.model_validate(body)
    records = collections(request).shard(name).retrieve(asked.ids, with_payload=False, with_vector=False)
    return answer([{"id": str(record.id)} for record in records])


@routes.post("/collections/{name}/points/query/batch")
async def query(request: Request, name: str, body: dict):
    shard = collections(request).shard(name)
    searches = qdrant.QueryRequestBatch.model_validate(body).searches
    found = [shard.query(engine_query(search)) for search in searches]
    return answer([{"points": [scored(hit) for hit in hits]} for hits in found])


def engine_query(search: qdrant.QueryRequest) -> engine.QueryRequest:
    return engine.QueryRequest(
        limit=search.limit,
        query=engine.Query.Nearest(search.query.nearest),
        with_payload=search.with_payload,
        params=engine.SearchParams(exact=search.params.exact, hnsw_ef=search.params.hnsw_ef),
    )


def scored(hit: engine.ScoredPoint) -> dict[str, object]:
    return {"id": str(hit.id), "version": hit.version, "score": hit.score, "payload": hit.payload}


def peer_app(directory: Path, api_key: str | None = None) -> FastAPI:
    """The app; with a key, every request without it is refused as a server refuses it."""
    app = FastAPI(openapi_url=None)
    app.state.collections = Collections(directory)
    app.include_router(routes)

    @app.middleware("http")
    async def check_key(request: Request, call_next):
        if api_key is not None and request.headers.get("api-key") != api_key:
            return Response("Must provide an API key or an Authorization bearer token", 401)
        return await call_next(request)

    return app


@contextmanager
def qdrant_peer(directory: Path, api_key: str | None = None):
    """The address of a running peer on a free loopback port; it listens before this returns."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(peer_app(directory, api_key), log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
