"""The earlier place of `flambeau.distributed.fsdp`."""
