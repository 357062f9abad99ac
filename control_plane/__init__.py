"""The application that a stack deploys in front of its nodes; knows no Pulumi."""
