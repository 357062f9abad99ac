"""Google Cloud, for the stand-in of its plugin."""

from pathlib import Path

from engine.standins.cloud import Cloud, Settings, text
from engine.standins.gcp import gke, others
from engine.standins.gcp.functions import FUNCTIONS
from engine.standins.values import Values


def settings(config: Values) -> Settings:
    """Project, region and zone of the provider; the project that stands in for none exists nowhere."""
    region = text(config, "region", "us-central1")
    zone = text(config, "zone", f"{region}-a")
    return {
        "project": text(config, "project", "gpuplane-stand-in"),
        "region": region,
        "zone": zone,
        "location": zone,
    }


CLOUD = Cloud(
    package="gcp",
    title="Google Cloud",
    folder=Path(__file__).resolve().parent,
    settings=settings,
    rules={
        "gcp:container/nodePool:NodePool": (gke.node_pool,),
        "gcp:container/cluster:Cluster": (gke.cluster,),
        "gcp:compute/network:Network": (others.named,),
        "gcp:compute/subnetwork:Subnetwork": (others.subnetwork,),
        "gcp:compute/router:Router": (others.named,),
        "gcp:compute/firewall:Firewall": (others.firewall,),
        "gcp:serviceaccount/account:Account": (others.account,),
        "gcp:serviceaccount/iAMMember:IAMMember": (others.member,),
        "gcp:projects/iAMMember:IAMMember": (others.member,),
        "gcp:sql/databaseInstance:DatabaseInstance": (others.database,),
        "gcp:redis/instance:Instance": (others.redis,),
    },
    functions=FUNCTIONS,
)
