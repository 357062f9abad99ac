"""`/v2/catalog`: what there is, where, at what price."""

from __future__ import annotations

import re
from typing import Any

from emulators.http import Answer, json_response
from emulators.runpod.call import Call
from emulators.runpod.catalogue import Cpu, DataCenter, Gpu
from emulators.runpod.problems import Refusal, invalid

_LEVELS = ("NONE", "LOW", "MEDIUM", "HIGH")
_REGIONS = (
    "NORTH_AMERICA",
    "SOUTH_AMERICA",
    "EUROPE",
    "ASIA",
    "MIDDLE_EAST",
    "AFRICA",
    "OCEANIA",
    "ANTARCTICA",
    "UNKNOWN",
)
_COMPLIANCE = (
    "GDPR",
    "ISO_IEC_27001",
    "ISO_14001",
    "PCI_DSS",
    "HITRUST",
    "SOC_1_TYPE_2",
    "SOC_2_TYPE_2",
    "SOC_3_TYPE_2",
    "ITAR",
    "FISMA_HIGH",
    "HIPAA",
    "RENEWABLE",
)


async def list_gpus(call: Call) -> Answer:
    """GET /v2/catalog/gpus."""
    filters = _filters(call)
    gpus = [_gpu(gpu, call, filters) for gpu in call.fleet.stock.catalogue.gpus.values()]
    if filters and filters["countries"]:
        gpus = [gpu for gpu in gpus if "dataCenters" in gpu]
    return json_response({"gpus": gpus})


async def get_gpu(call: Call) -> Answer:
    """GET /v2/catalog/gpus/{id}."""
    gpu = call.fleet.stock.catalogue.gpu(call.id)
    if gpu is None:
        raise Refusal(404, "resource not found")
    return json_response(_gpu(gpu, call, _filters(call)))


async def list_cpus(call: Call) -> Answer:
    """GET /v2/catalog/cpus."""
    include = _cpu_include(call)
    return json_response({"cpus": [_cpu(c, include) for c in call.fleet.stock.catalogue.cpus.values()]})


async def get_cpu(call: Call) -> Answer:
    """GET /v2/catalog/cpus/{id}."""
    cpu = call.fleet.stock.catalogue.cpus.get(call.id)
    if cpu is None:
        raise Refusal(404, "resource not found")
    return json_response(_cpu(cpu, _cpu_include(call)))


async def list_data_centers(call: Call) -> Answer:
    """GET /v2/catalog/datacenters."""
    include = call.choices("include", ("GPU_AVAILABILITY", "CPU_AVAILABILITY"))
    regions = call.choices("regions", _REGIONS)
    volumes = call.choices("networkVolumeTypes", ("STANDARD", "HIGH_PERFORMANCE"))
    compliance = call.choices("compliance", _COMPLIANCE)
    network = call.choices("globalNetwork", ("true", "false"))
    centers = [
        center
        for center in call.fleet.stock.catalogue.data_centers.values()
        if (not regions or center.region in regions)
        and (not volumes or set(volumes) & set(center.volume_types))
        and set(compliance) <= set(center.compliance)
        and (not network or center.global_network == (network == ["true"]))
    ]
    return json_response({"dataCenters": [_center(center, call, include) for center in centers]})


async def get_data_center(call: Call) -> Answer:
    """GET /v2/catalog/datacenters/{id}."""
    center = call.fleet.stock.catalogue.data_centers.get(call.id)
    if center is None:
        raise Refusal(404, "resource not found")
    return json_response(
        _center(center, call, call.choices("include", ("GPU_AVAILABILITY", "CPU_AVAILABILITY")))
    )


async def list_templates(call: Call) -> Answer:
    """GET /v2/catalog/templates: the emulator publishes none."""
    call.choices("source", ("official", "verified", "community"))
    return json_response({"templates": []})


def _filters(call: Call) -> dict[str, Any] | None:
    """The filters of a GPU query; None: availability was not asked for.

    Raises:
        Refusal: 400 where filters and `include` do not go together, 422 for malformed values.
    """
    query = call.request.query
    products = call.choices("product", ("POD", "CLUSTER", "SERVERLESS"))
    clouds = call.choices("cloud", ("SECURE", "COMMUNITY"))
    count = call.number("count", 1, 1)
    countries = [code for code in query.get("countryCodes", "").split(",") if code]
    if bad := [code for code in countries if not re.fullmatch("[A-Z]{2}", code)]:
        raise invalid([f"$.countryCodes: '{bad[0]}' does not match pattern '^[A-Z]{{2}}$'"])
    versions = [version for version in query.get("cudaVersions", "").split(",") if version]
    if bad := [version for version in versions if not re.fullmatch(r"\d+\.\d+", version)]:
        raise invalid([f"$.cudaVersions: '{bad[0]}' does not match pattern '^\\d+\\.\\d+$'"])
    least = query.get("minCudaVersion", "")
    if least and not re.fullmatch(r"\d+(\.\d+)?", least):
        raise invalid([f"$.minCudaVersion: '{least}' does not match pattern '^\\d+(\\.\\d+)?$'"])
    if not call.choices("include", ("AVAILABILITY",)):
        used = [
            name
            for name in ("product", "count", "cloud", "countryCodes", "cudaVersions", "minCudaVersion")
            if name in query
        ]
        if used:
            raise Refusal(400, f"{used[0]} is valid only with include=AVAILABILITY")
        return None
    if not products:
        raise Refusal(400, "include=AVAILABILITY requires product")
    if versions and least:
        raise Refusal(400, "cudaVersions and minCudaVersion are mutually exclusive")
    offered = call.fleet.stock.catalogue.cuda_versions
    if versions:
        offered = tuple(version for version in offered if version in versions)
    if least:
        floor = tuple(map(int, least.split(".")))
        offered = tuple(v for v in offered if tuple(map(int, v.split("."))) >= floor)
    return {
        "count": count,
        "cloud": clouds[0] if clouds else "SECURE",
        "countries": countries,
        "cuda": offered,
        "pods": "POD" in products,
    }


def _gpu(gpu: Gpu, call: Call, filters: dict[str, Any] | None) -> dict[str, Any]:
    stock, settings = call.fleet.stock, call.settings
    view: dict[str, Any] = {
        "id": gpu.id,
        "name": gpu.name,
        "pool": gpu.pool,
        "manufacturer": gpu.manufacturer,
        "memory": gpu.memory,
        "secure": gpu.max_count["SECURE"] > 0,
        "community": gpu.max_count["COMMUNITY"] > 0,
        "price": {
            "secure": stock.price(settings, gpu, "SECURE"),
            "community": stock.price(settings, gpu, "COMMUNITY"),
        },
        "maxCount": {"secure": gpu.max_count["SECURE"], "community": gpu.max_count["COMMUNITY"]},
    }
    if filters is None:
        return view
    centers = []
    count, cloud = filters["count"], filters["cloud"]
    nvidia = gpu.manufacturer == "NVIDIA"
    if count <= gpu.max_count[cloud] and (filters["cuda"] or not nvidia) and filters["pods"]:
        for center_id in stock.places(settings, gpu, cloud):
            center = stock.catalogue.data_centers[center_id]
            if not filters["countries"] or center.country in filters["countries"]:
                level = stock.level(settings, gpu, center_id, count)
                centers.append({"id": center_id, "name": center_id, "availability": level})
    best = max((one["availability"] for one in centers), key=_LEVELS.index, default="NONE")
    view["availability"] = best
    if centers:
        view["dataCenters"] = centers
    if nvidia:
        view["cudaVersions"] = [{"version": v, "available": best != "NONE"} for v in filters["cuda"]]
    return view


def _cpu_include(call: Call) -> bool:
    include = bool(call.choices("include", ("AVAILABILITY",)))
    products = call.choices("product", ("POD", "SERVERLESS"))
    call.number("vcpuCount", 2, 2)
    if include != bool(products):
        raise Refusal(
            400,
            "include=AVAILABILITY requires product"
            if include
            else "product is valid only with include=AVAILABILITY",
        )
    return include


def _cpu(cpu: Cpu, include: bool) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": cpu.id,
        "name": cpu.name,
        "group": cpu.group,
        "vcpu": {"min": cpu.min_vcpu, "max": cpu.max_vcpu},
        "ramGbPerVcpu": cpu.ram_gb_per_vcpu,
        "price": {"securePerVcpu": cpu.price, "serverlessPerVcpu": cpu.price},
    }
    if include:
        view["availability"] = "HIGH"
        view["dataCenters"] = [{"id": c, "name": c, "availability": "HIGH"} for c in cpu.data_centers]
    return view


def _center(center: DataCenter, call: Call, include: list[str]) -> dict[str, Any]:
    stock, settings = call.fleet.stock, call.settings
    view: dict[str, Any] = {
        "id": center.id,
        "name": center.id,
        "region": center.region,
        "globalNetwork": center.global_network,
        "networkVolumeTypes": list(center.volume_types),
        "compliance": list(center.compliance),
    }
    if "GPU_AVAILABILITY" in include:
        gpus = [
            {"id": gpu.id, "name": gpu.name, "availability": stock.level(settings, gpu, center.id, 1)}
            for gpu in stock.catalogue.gpus.values()
            if center.id in stock.places(settings, gpu, "SECURE")
        ]
        if gpus:
            view["gpuAvailability"] = gpus
    if "CPU_AVAILABILITY" in include:
        cpus = [
            {"id": cpu.id, "name": cpu.name, "availability": "HIGH"}
            for cpu in stock.catalogue.cpus.values()
            if center.id in cpu.data_centers
        ]
        if cpus:
            view["cpuAvailability"] = cpus
    return view
