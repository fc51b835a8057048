"""How torch runs a network, apart from layers and noise.

arguments          the arguments of a pass: checks, and the number of rows
output_tensor      the signal of a layer, which is a tensor in its output: find and replace it
shadow             copies of a network, on which layerbits runs its passes
sharding           a network that fully_shard has divided among processes, copied as a whole
other_threads      whether another thread may write on a network
tensor_memory      the memory of a tensor, which its views share
originals          refuse writes on the network itself in a pass of its shadow
own_hooks          the hooks of layerbits: find and delete them
call_stack         Python's stack: which modules run
checkpointing      activation checkpointing: passes that run a second time
recomputed_calls   the noise of layers in passes that run a second time
compilation        torch.compile: guards of hooks, and discarding compiled code
generators         torch's generators, restored after a pass, with a seed for a network's own random numbers
global_generators  the global generators of torch, NumPy and Python, restored after a block or an error
live_memory        the bytes that a row takes in a pass
module_state       the attributes of modules, restored after a pass that ends early
other_generators   the generators of Python and NumPy: whether a pass uses one
weights            copies of the parameters of one moment; whether the parameters change meanwhile
"""
