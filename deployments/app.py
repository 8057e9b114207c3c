"""The graph: typed arguments in, five bound deployments out. The only wiring."""

# No `from __future__ import annotations` here: with it Serve hands the builder a raw dict instead of `GraphArgs`.

from pathlib import Path
from typing import Any, Literal

import ray
from pydantic import BaseModel, ConfigDict, Field
from ray.serve import Application
from ray.serve.config import DeploymentActorConfig

from deployments.analysis.deployment import Analyst
from deployments.common.settings import (
    EasyInsightSettings,
    KeeperSettings,
    Location,
    OllamaSettings,
    StackSettings,
    SyncSettings,
)
from deployments.forecasting.deployment import Forecaster, ForecastKeeper
from deployments.gateway.deployment import Gateway
from deployments.knowledge.deployment import Knowledge, KnowledgeSync
from deployments.market_data.deployment import CandleFeed, MarketData

REPOSITORY = Path(__file__).resolve().parents[1]


class GpuShares(BaseModel):
    """The fraction of a GPU that each part reserves; MarketData and Gateway need none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forecaster: float = Field(default=0.25, ge=0)
    knowledge: float = Field(default=0.1, ge=0)
    knowledge_sync: float = Field(default=0.1, ge=0)
    analyst: float = Field(default=0.15, ge=0)
    training: float = Field(default=0.3, ge=0)


class CpuShares(BaseModel):
    """The CPU cores that each part reserves; small, so that a training worker finds a whole core on a laptop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    market_data: float = Field(default=0.1, ge=0)
    feed: float = Field(default=0.05, ge=0)
    forecaster: float = Field(default=0.2, ge=0)
    keeper: float = Field(default=0.05, ge=0)
    knowledge: float = Field(default=0.1, ge=0)
    knowledge_sync: float = Field(default=0.1, ge=0)
    analyst: float = Field(default=0.1, ge=0)
    gateway: float = Field(default=0.1, ge=0)


class GraphArgs(BaseModel):
    """What `serve_config.yaml` may say about the graph; the environment says where the outside systems are.

    `release` changes nothing but itself: Serve redeploys unchanged arguments to nothing, so new code needs a new stamp.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: str = ""
    home: Path | None = None
    model_registry: Location = ""
    dashboard: Path = REPOSITORY / "frontend" / "dist"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    easyinsight_url: str | None = None
    feed_interval_s: float = Field(default=15.0, ge=1)
    rate_per_s: float = Field(default=200.0, gt=0)
    rate_burst: int = Field(default=600, ge=1)
    gpu_shares: GpuShares = GpuShares()
    cpu_shares: CpuShares = CpuShares()


def build(args: GraphArgs) -> Application:
    """Bind the five deployments for this cluster."""
    stack = StackSettings.read()
    home = str((args.home or stack.candlecast_home).expanduser().resolve())
    device = resolve_device(args.device)
    market_data = bind_market_data(args, home, device)
    forecaster = bind_forecaster(args, home, device, args.model_registry or stack.model_registry, market_data)
    knowledge = bind_knowledge(args, home, device, stack.embedding_model, market_data)
    analyst = bind(
        Analyst,
        {"ray_actor_options": resources(args, device, "analyst")},
        home=home,
        ollama=OllamaSettings.read().model_dump(),
        market_data=market_data,
        forecaster=forecaster,
        knowledge=knowledge,
    )
    return bind(
        Gateway,
        {"ray_actor_options": resources(args, device, "gateway")},
        home=home,
        dashboard_dir=str(args.dashboard),
        public=stack.candlecast_public,
        market_data=market_data,
        forecaster=forecaster,
        knowledge=knowledge,
        analyst=analyst,
        rate_per_s=args.rate_per_s,
        rate_burst=args.rate_burst,
    )


def bind(shell: Any, options: dict[str, Any], **arguments: Any) -> Application:
    """Bind a decorated class; Serve's decorator makes it a `Deployment`, which a type checker cannot see."""
    bound: Application = shell.options(**options).bind(**arguments)
    return bound


def bind_market_data(args: GraphArgs, home: str, device: str) -> Application:
    """Bind MarketData with the actor that feeds it new bars, where there is a market to read."""
    url = EasyInsightSettings.read().api_url if args.easyinsight_url is None else args.easyinsight_url
    feed = DeploymentActorConfig(
        name="CandleFeed",
        actor_class=CandleFeed,
        init_kwargs={"easyinsight_url": url, "interval_s": args.feed_interval_s},
        actor_options=resources(args, device, "feed"),
    )
    options: dict[str, Any] = {"deployment_actors": [feed]} if url else {}
    options |= {"ray_actor_options": resources(args, device, "market_data")}
    return bind(MarketData, options, home=home, easyinsight_url=url)


def bind_forecaster(args: GraphArgs, home: str, device: str, registry: str, market_data: Application) -> Application:
    """Bind Forecaster with the actor that keeps its books."""
    settings = KeeperSettings.read()
    actor = DeploymentActorConfig(
        name="ForecastKeeper",
        actor_class=ForecastKeeper,
        init_kwargs={
            "home": home,
            "registry": registry,
            "interval_s": settings.interval_seconds,
            "issue": settings.issue,
            "retrain_days": settings.retrain_days,
            "keep_versions": settings.keep_versions,
            "keep_days": settings.keep_days,
        },
        actor_options=resources(args, device, "keeper"),
    )
    return bind(
        Forecaster,
        {"ray_actor_options": resources(args, device, "forecaster"), "deployment_actors": [actor]},
        home=home,
        device=device,
        training_gpu_share=args.gpu_shares.training if device == "cuda" else 0.0,
        registry=registry,
        market_data=market_data,
    )


def bind_knowledge(args: GraphArgs, home: str, device: str, model: str, market_data: Application) -> Application:
    """Bind Knowledge with the one actor that writes its table."""
    sync = SyncSettings.read()
    actor = DeploymentActorConfig(
        name="KnowledgeSync",
        actor_class=KnowledgeSync,
        init_kwargs={
            "home": home,
            "embedding_model": model,
            "device": device,
            "enabled": sync.enabled,
            "interval_s": sync.interval_seconds,
            "batch_size": sync.batch_size,
            "lookback_days": sync.lookback_days,
        },
        actor_options=resources(args, device, "knowledge_sync"),
    )
    options = {"ray_actor_options": resources(args, device, "knowledge"), "deployment_actors": [actor]}
    return bind(Knowledge, options, home=home, embedding_model=model, device=device, market_data=market_data)


def resources(args: GraphArgs, device: str, part: str) -> dict[str, float]:
    """Return the Ray resources of a part; a GPU share only where the graph runs on one."""
    wanted = {"num_cpus": getattr(args.cpu_shares, part)}
    gpu_share = getattr(args.gpu_shares, part, 0.0)
    if device == "cuda" and gpu_share:
        wanted["num_gpus"] = gpu_share
    return wanted


def resolve_device(device: str) -> str:
    """Return `cuda` or `cpu`: `auto` follows what the cluster offers."""
    if device != "auto":
        return device
    return "cuda" if ray.is_initialized() and ray.cluster_resources().get("GPU", 0) > 0 else "cpu"


def deployment_names(graph: Application) -> set[str]:
    """Return the names of all deployments bound into a graph."""
    bound = graph._bound_deployment
    names = {bound.name}
    for argument in (*bound.init_args, *bound.init_kwargs.values()):
        if isinstance(argument, Application):
            names |= deployment_names(argument)
    return names
