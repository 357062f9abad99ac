"""The program: read the stack's configuration, declare what it says, export what came of it."""

import pulumi

from components.gpu_stack import GpuStack
from components.settings import read_stack

stack = GpuStack(read_stack())
for name, value in stack.outputs().items():
    pulumi.export(name, value)
