"""Limits in four layers: requests and tokens per minute, requests in flight, money per month."""
