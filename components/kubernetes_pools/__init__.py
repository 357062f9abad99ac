"""What GPU pools of EKS, GKE and AKS have in common: machines, prices, rules, drivers.

Rules and prices are pure and import no Pulumi; a component asks them before it registers anything.
"""
