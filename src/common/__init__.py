"""What knows nothing of the subject: refusals, seeds, shapes, devices, CUDA graphs, the source a result depends on."""
