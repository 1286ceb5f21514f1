"""Lists and dicts that are not changed in place: the arguments of nodes, whose users are kept account of."""

__all__ = ["immutable_dict", "immutable_list"]


def _refused(self, *args, **kwargs):
    raise NotImplementedError(
        f"'{type(self).__name__}' object does not support mutation. If you are attempting to modify the kwargs or args "
        "of a torch.fx.Node object, instead create a new copy of it and assign the copy to the node:\n"
        "    new_args = ... # copy and mutate args\n"
        "    node.args = new_args\n"
    )


class immutable_list(list):
    """A list that cannot be changed in place."""

    __delitem__ = __iadd__ = __imul__ = __setitem__ = append = clear = extend = insert = pop = remove = _refused
    reverse = sort = _refused

    def __hash__(self):
        return hash(tuple(self))

    def __reduce__(self):
        return immutable_list, (tuple(self),)


class immutable_dict(dict):
    """A dict that cannot be changed in place."""

    __delitem__ = __ior__ = __setitem__ = clear = pop = popitem = setdefault = update = _refused

    def __hash__(self):
        return hash(frozenset(self.items()))

    def __reduce__(self):
        return immutable_dict, (tuple(self.items()),)
