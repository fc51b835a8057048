"""How torch runs a network, apart from layers and noise.

arguments       the arguments of a pass: checks, and the number of rows
output_tensor   the tensor in the output of a layer that carries its noise
shadow          copies of a network that share its parameters
own_hooks       the hooks of layerbits: find and delete them
call_stack      Python's stack: which modules run
checkpointing   activation checkpointing: which passes run a second time, with which noise
compilation     torch.compile: guards of hooks, code that must compile again
generators      torch's generators, restored after a pass; the seed of a network's own random numbers
live_memory     the bytes that a row takes in a pass
module_state    the attributes of modules, restored after a pass that ends early
"""
