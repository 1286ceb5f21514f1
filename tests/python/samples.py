"""Sample operands for every declared operator, drawn from its schema; what schemas cannot say stands in `HINTS`."""

import itertools
import random

import flambeau as torch
from flambeau import _C

# Values between which a function is smooth, for operators that are not so on (0.15, 0.85).
DOMAINS = {
    "acosh": (1.2, 3.0), "acosh_": (1.2, 3.0), "arccosh": (1.2, 3.0), "log1p": (-0.4, 2.0), "lgamma": (0.5, 3.0), "digamma": (0.5, 3.0),
    "polygamma": (1.0, 3.0), "mvlgamma": (4.0, 6.0), "multigammaln": (4.0, 6.0), "erfinv": (-0.7, 0.7), "zeta": (2.0, 4.0),
    "gammaln": (0.5, 3.0), "psi": (0.5, 3.0), "relu6": (0.5, 5.0), "hardtanh": (-0.8, 0.8), "hardsigmoid": (-2.0, 2.0),
    "hardswish": (-2.0, 2.0), "pow": (0.3, 2.0), "float_power": (0.3, 2.0), "igamma": (0.5, 3.0), "igammac": (0.5, 3.0),
    "bessel_y0": (0.5, 3.0), "bessel_y1": (0.5, 3.0), "modified_bessel_k0": (0.5, 3.0), "cosh": (-1.0, 1.0), "sinc": (0.2, 0.8),
}  # fmt: skip

S = (3, 3)


def indices(*values, shape=None):
    t = torch.tensor(values, dtype=torch.int64)
    return t if shape is None else t.reshape(shape)


class Sampler:
    """Draws tensors of distinct values, so that no maximum, median or order is near a tie."""

    def __init__(self, name, dtype):
        self.rng = random.Random(name)
        self.low, self.high = DOMAINS.get(bare(name), (0.15, 0.85))
        self.dtype = dtype

    def __call__(self, *shape, low=None, high=None):
        low, high = (self.low if low is None else low), (self.high if high is None else high)
        count = 1
        for size in shape:
            count *= size
        places = list(range(count))
        self.rng.shuffle(places)
        data = [low + (high - low) * (p + 0.3 + 0.4 * self.rng.random()) / max(count, 1) for p in places]
        if not (self.dtype.is_complex or self.dtype.is_floating_point):
            return torch.tensor([p + 1 for p in places], dtype=self.dtype).reshape(shape)
        if self.dtype.is_complex:
            data = [complex(v, 0.3 + 0.5 * self.rng.random()) for v in data]
        return torch.tensor(data, dtype=self.dtype).reshape(shape).requires_grad_()


def square(s):
    """A well-conditioned matrix."""
    return (s(3, 3).detach() + 2 * torch.eye(3, dtype=s.dtype)).requires_grad_()


def definite(s):
    a = s(3, 3).detach()
    return (a @ a.mH + 2 * torch.eye(3, dtype=s.dtype)).requires_grad_()


def lu(s):
    """The factors of a matrix in one, and the pivots."""
    factors, pivots = torch.linalg.lu_factor(square(s).detach())
    return [factors.requires_grad_(), pivots]


def real(s, *shape):
    return Sampler("weights", torch.float64)(*shape).detach()


# Arguments for overloads whose schema says too little: `name` or `name.overload` -> function of a sampler.
HINTS = {}


def given(names, make):
    for name in names.split():
        HINTS[name] = make


given("matmul mm", lambda s: [s(2, 3), s(3, 2)])
given("mv", lambda s: [s(2, 3), s(3)])
given("bmm", lambda s: [s(2, 2, 3), s(2, 3, 2)])
given("dot vdot inner", lambda s: [s(3), s(3)])
given("ger outer addr", lambda s: [s(3), s(3)])
given("addr", lambda s: [s(3, 3), s(3), s(3)])
given("addmm", lambda s: [s(2, 2), s(2, 3), s(3, 2)])
given("addmv", lambda s: [s(2), s(2, 3), s(3)])
given("addbmm addbmm_", lambda s: [s(2, 2), s(2, 2, 3), s(2, 3, 2)])
given("baddbmm", lambda s: [s(2, 2, 2), s(2, 2, 3), s(2, 3, 2)])
given("linear", lambda s: [s(2, 3), s(4, 3), s(4)])
given("bilinear", lambda s: [s(2, 3), s(2, 2), s(4, 3, 2), s(4)])
given("chain_matmul multi_dot", lambda s: [[s(2, 3), s(3, 2), s(2, 2)]])
given("einsum", lambda s: ["ij,jk->ik", [s(2, 3), s(3, 2)]])
given("_einsum", lambda s: ["ij,jk->ik", [s(2, 3), s(3, 2)]])
given("tensordot _tensordot", lambda s: [s(2, 3), s(3, 2), [1], [0]])
given("cross linalg_cross", lambda s: [s(2, 3), s(2, 3)])
given("kron", lambda s: [s(2, 2), s(2, 2)])
given("cdist", lambda s: [s(2, 3), s(2, 3)])
given("cholesky cholesky_ex linalg_cholesky", lambda s: [definite(s)])
given("gather", lambda s: [s(3, 3), 1, indices(0, 2, 1, 0, 1, 1, shape=(3, 2))])
given(
    "scatter.value scatter.value_reduce scatter_.value scatter_.value_reduce",
    lambda s: [s(3, 3), 1, indices(0, 2, 1, shape=(3, 1)), 2.0],
)
given("scatter.src scatter_.src", lambda s: [s(3, 3), 1, indices(0, 2, 1, shape=(3, 1)), s(3, 1)])
given(
    "scatter.reduce scatter_.reduce", lambda s: [s(3, 3), 1, indices(0, 2, 1, shape=(3, 1)), s(3, 1), {"reduce": "add"}]
)
given("scatter_add scatter_add_", lambda s: [s(3, 3), 1, indices(0, 2, 1, shape=(3, 1)), s(3, 1)])
given("scatter_reduce.two", lambda s: [s(3, 3), 1, indices(0, 2, 1, shape=(3, 1)), s(3, 1), "sum"])
given("scatter_reduce", lambda s: [s(3, 3), 1, indices(0, 2, 1, shape=(3, 1)), s(3, 1), "mean"])
given("index_select", lambda s: [s(3, 3), 1, indices(0, 2)])
given("index_add index_add_", lambda s: [s(3, 3), 0, indices(0, 2), s(2, 3)])
given("index_copy", lambda s: [s(3, 3), 0, indices(0, 2), s(2, 3)])
given("index_reduce", lambda s: [s(3, 3), 0, indices(0, 2), s(2, 3), "prod"])
given("index_fill.int_Scalar", lambda s: [s(3, 3), 0, indices(0, 2), 1.5])
given("index_fill.int_Tensor", lambda s: [s(3, 3), 0, indices(0, 2), s()])
given("index_put", lambda s: [s(3, 3), [indices(0, 2)], s(2, 3)])
given("index.Tensor", lambda s: [s(3, 3), [indices(0, 2)]])
given("take", lambda s: [s(3, 3), indices(0, 7, 2)])
given("put", lambda s: [s(3, 3), indices(0, 7), s(2)])
given("take_along_dim", lambda s: [s(3, 3), indices(0, 2, 1, shape=(3, 1)), 1])
given("masked_select masked_scatter", lambda s: [s(3), torch.tensor([True, False, True])])
given("masked_scatter", lambda s: [s(3), torch.tensor([True, False, True]), s(3)])
given("masked_fill.Scalar", lambda s: [s(3), torch.tensor([True, False, True]), 2.0])
given("masked_fill.Tensor", lambda s: [s(3), torch.tensor([True, False, True]), s()])
given("where.self where", lambda s: [torch.tensor([True, False, True]), s(3), s(3)])
given("where.ScalarSelf", lambda s: [torch.tensor([True, False, True]), 1.0, s(3)])
given("where.ScalarOther", lambda s: [torch.tensor([True, False, True]), s(3), 1.0])
given("embedding", lambda s: [s(3, 2), indices(0, 2, 2)])
given("embedding_renorm_", lambda s: [s(3, 2), indices(0, 2), 0.5, 2.0])
given("embedding_bag", lambda s: [s(3, 2), indices(0, 2, 2), indices(0, 1)])
given("nll_loss nll_loss_nd cross_entropy", lambda s: [s(3, 3), indices(0, 2, 1)])
given("nll_loss2d", lambda s: [s(2, 3, 2, 2), torch.ones(2, 2, 2, dtype=torch.int64)])
given("multi_margin_loss", lambda s: [s(3, 3), indices(0, 2, 1)])
given("multilabel_margin_loss", lambda s: [s(1, 3), indices(0, -1, 1, shape=(1, 3))])
given(
    "hinge_embedding_loss soft_margin_loss multilabel_soft_margin_loss",
    lambda s: [s(3), torch.tensor([1.0, -1, 1], dtype=s.dtype)],
)
given("margin_ranking_loss", lambda s: [s(3), s(3), torch.tensor([1.0, -1, 1], dtype=s.dtype)])
given("cosine_embedding_loss", lambda s: [s(3, 3), s(3, 3), torch.tensor([1.0, -1, 1], dtype=s.dtype)])
given("triplet_margin_loss", lambda s: [s(3, 3), s(3, 3), s(3, 3)])
given("gaussian_nll_loss", lambda s: [s(3), s(3), s(3)])
given("poisson_nll_loss", lambda s: [s(3), s(3), True, False, 1e-8, 1])
given("binary_cross_entropy", lambda s: [s(3), s(3)])
given("binary_cross_entropy_with_logits", lambda s: [s(3), s(3), real(s, 3), real(s, 3)])
given(
    "ctc_loss",
    lambda s: [torch.log_softmax(s(4, 2, 3), 2), indices(1, 2, 1, 2, shape=(2, 2)), indices(4, 4), indices(2, 1)],
)
given("conv1d", lambda s: [s(1, 2, 5), s(3, 2, 2), s(3)])
given("conv2d", lambda s: [s(1, 2, 4, 4), s(3, 2, 2, 2), s(3)])
given("conv3d", lambda s: [s(1, 1, 3, 3, 3), s(2, 1, 2, 2, 2), s(2)])
given("conv_transpose1d", lambda s: [s(1, 2, 3), s(2, 2, 2), s(2)])
given("conv_transpose2d", lambda s: [s(1, 2, 3, 3), s(2, 2, 2, 2), s(2)])
given("conv_transpose3d", lambda s: [s(1, 1, 2, 2, 2), s(1, 2, 2, 2, 2), s(2)])
given("convolution _convolution", lambda s: [s(1, 2, 5), s(3, 2, 2), s(3), [1], [0], [1], False, [0], 1])
given("conv_tbc", lambda s: [s(4, 1, 2), s(2, 2, 3), s(3)])
given("avg_pool1d max_pool1d max_pool1d_with_indices lp_pool1d", lambda s: [s(1, 2, 6), 2])
given("avg_pool2d max_pool2d max_pool2d_with_indices", lambda s: [s(1, 2, 4, 4), 2])
given("avg_pool3d max_pool3d max_pool3d_with_indices", lambda s: [s(1, 1, 2, 4, 2), 2])
given("adaptive_avg_pool1d adaptive_max_pool1d", lambda s: [s(1, 2, 5), 2])
given("adaptive_avg_pool2d adaptive_max_pool2d", lambda s: [s(1, 2, 5, 4), [2, 2]])
given("adaptive_avg_pool3d adaptive_max_pool3d", lambda s: [s(1, 1, 3, 4, 2), [2, 2, 1]])
given("fractional_max_pool2d", lambda s: [s(1, 2, 5, 4), [2, 2], [2, 2], real(s, 1, 2, 2)])
given("fractional_max_pool3d", lambda s: [s(1, 1, 3, 4, 3), [2, 2, 2], [2, 2, 2], real(s, 1, 1, 3)])
given("max_unpool2d", lambda s: [s(1, 1, 2, 2), indices(0, 3, 9, 14, shape=(1, 1, 2, 2)), [4, 4]])
given(
    "max_unpool3d",
    lambda s: [s(1, 1, 1, 2, 2), indices(0, 3, 9, 14, shape=(1, 1, 1, 2, 2)), [1, 4, 4], [1, 2, 2], [0, 0, 0]],
)
given("fold col2im", lambda s: [s(1, 4, 4), [3, 3], [2, 2], [1, 1], [0, 0], [1, 1]])
given("im2col", lambda s: [s(1, 1, 3, 3), [2, 2], [1, 1], [0, 0], [1, 1]])
given("unfold", lambda s: [s(5), 0, 2, 1])
given("pixel_shuffle", lambda s: [s(1, 4, 2, 2), 2])
given("pixel_unshuffle", lambda s: [s(1, 1, 4, 4), 2])
given("channel_shuffle native_channel_shuffle", lambda s: [s(1, 4, 2, 2), 2])
given("pad constant_pad_nd", lambda s: [s(2, 3), [1, 2]])
given("reflection_pad1d replication_pad1d", lambda s: [s(1, 2, 4), [1, 2]])
given("reflection_pad2d replication_pad2d", lambda s: [s(1, 1, 3, 3), [1, 2, 0, 1]])
given("reflection_pad3d replication_pad3d", lambda s: [s(1, 1, 2, 2, 2), [1, 0, 0, 1, 1, 1]])
given("batch_norm native_batch_norm", lambda s: [s(3, 2), s(2), s(2), None, None, True, 0.1, 1e-3, False])
given("native_batch_norm", lambda s: [s(3, 2), s(2), s(2), None, None, True, 0.1, 1e-3])
given("instance_norm", lambda s: [s(2, 2, 3), s(2), s(2), None, None, True, 0.1, 1e-3, False])
given("layer_norm native_layer_norm", lambda s: [s(2, 3), [3], s(3), s(3), 1e-3])
given("rms_norm", lambda s: [s(2, 3), [3], s(3)])
given("group_norm", lambda s: [s(2, 4, 2), 2, s(4), s(4), 1e-3])
given("native_group_norm", lambda s: [s(2, 4, 2), s(4), s(4), 2, 4, 2, 2, 1e-3])
given("local_response_norm", lambda s: [s(1, 3, 2, 2), 2])
given("upsample_nearest1d upsample_linear1d", lambda s: [s(1, 1, 3), [5]])
given("upsample_linear1d", lambda s: [s(1, 1, 3), [5], False])
given("_upsample_nearest_exact1d", lambda s: [s(1, 1, 3), [5]])
given("_upsample_nearest_exact1d.vec", lambda s: [s(1, 1, 3), [5], None])
given("upsample_nearest2d", lambda s: [s(1, 1, 2, 2), [3, 4]])
given("upsample_bilinear2d upsample_bicubic2d", lambda s: [s(1, 1, 2, 2), [3, 4], False])
given("upsample_nearest3d", lambda s: [s(1, 1, 2, 2, 1), [3, 2, 1]])
given("_upsample_nearest_exact3d", lambda s: [s(1, 1, 2, 2, 1), [3, 2, 1]])
given("_upsample_nearest_exact3d.vec", lambda s: [s(1, 1, 2, 2, 1), [3, 2, 1], None])
given("upsample_trilinear3d", lambda s: [s(1, 1, 2, 2, 1), [3, 2, 1], False])
given("affine_grid affine_grid_generator", lambda s: [s(1, 2, 3), [1, 1, 2, 2], False])
given(
    "grid_sample grid_sampler grid_sampler_2d",
    lambda s: [s(1, 1, 3, 3), s(1, 2, 2, 2, low=-0.9, high=0.8), 0, 0, False],
)
given("grid_sampler_3d", lambda s: [s(1, 1, 3, 3, 3), s(1, 2, 2, 1, 3, low=-0.9, high=0.8), 0, 0, False])
given("glu", lambda s: [s(2, 4), 1])
given("prelu", lambda s: [s(2, 3, low=-1, high=1), s(3)])
given("threshold", lambda s: [s(3, low=-1, high=1), 0.1, 5.0])
given("celu elu selu leaky_relu softshrink hardshrink", lambda s: [s(3, low=-2, high=2)])
given("softplus", lambda s: [s(3)])
given("renorm", lambda s: [s(3, 3), 2, 0, 0.5])
given("view reshape", lambda s: [s(2, 3), [3, 2]])
given("view.dtype", lambda s: [s(3), s.dtype])
given("view_as reshape_as", lambda s: [s(2, 3), real(s, 3, 2)])
given("expand_as", lambda s: [s(1, 3), real(s, 2, 3)])
given("expand broadcast_to", lambda s: [s(1, 3), [2, 3]])
given("sum_to_size", lambda s: [s(2, 3), [1, 3]])
given("permute", lambda s: [s(2, 3), [1, 0]])
given("as_strided", lambda s: [s(6), [2, 3], [1, 2]])
given("as_strided_scatter", lambda s: [s(6), s(2, 2), [2, 2], [1, 2], 1])
given("as_strided_copy", lambda s: [s(6), [2, 3], [1, 2]])
given("repeat tile", lambda s: [s(2, 2), [2, 1]])
given("repeat_interleave.self_int", lambda s: [s(2, 2), 2])
given("repeat_interleave.self_Tensor", lambda s: [s(2), indices(2, 1)])
given("roll", lambda s: [s(3, 2), [1], [0]])
given("rot90", lambda s: [s(3, 2), 1, [0, 1]])
given("flip", lambda s: [s(3, 2), [0]])
given("movedim.intlist moveaxis.intlist", lambda s: [s(3, 2), [0], [1]])
given("unflatten", lambda s: [s(6), 0, [2, 3]])
given("select select_copy", lambda s: [s(3, 2), 0, 1])
given("select_scatter", lambda s: [s(3, 2), s(2), 0, 1])
given("slice_scatter", lambda s: [s(3, 2), s(2, 2), 0, 0, 2])
given("diagonal_scatter", lambda s: [s(3, 3), s(3)])
given("narrow", lambda s: [s(3, 2), 0, 1, 2])
given("narrow.Tensor", lambda s: [s(3, 2), 0, torch.tensor(1), 2])
given("split.Tensor unsafe_split.Tensor", lambda s: [s(4, 2), 2])
given("split.sizes split_with_sizes unsafe_split_with_sizes split_with_sizes_copy", lambda s: [s(4, 2), [1, 3]])
given("chunk unsafe_chunk", lambda s: [s(4, 2), 2])
given("tensor_split.sections hsplit.int vsplit.int", lambda s: [s(4, 4), 2])
given("dsplit.int", lambda s: [s(2, 2, 4), 2])
given("dsplit.array", lambda s: [s(2, 2, 4), [2]])
given("tensor_split.indices hsplit.array vsplit.array", lambda s: [s(4, 4), [1, 2]])
given("tensor_split.tensor_indices_or_sections", lambda s: [s(4, 4), torch.tensor(2)])
given("kthvalue topk", lambda s: [s(4), 2])
given("std_mean var_mean std var", lambda s: [s(3, 3)])
given("logcumsumexp cumsum cumprod cummax cummin", lambda s: [s(3, 3), 0])
given("quantile nanquantile", lambda s: [s(5), torch.tensor([0.3, 0.7], dtype=s.dtype)])
given("quantile.scalar nanquantile.scalar", lambda s: [s(5), 0.3])
given("to.dtype", lambda s: [s(3), s.dtype])
given("to.other type_as", lambda s: [s(3), s(3)])
given("view_as_complex", lambda s: [s(3, 2)])
given("polygamma", lambda s: [1, s(3)])
given("mvlgamma multigammaln", lambda s: [s(3), 2])
given("complex", lambda s: [s(3), s(3)])
given("polar", lambda s: [s(3), s(3)])
given("lerp.Scalar", lambda s: [s(3), s(3), 0.3])
given("clamp clip", lambda s: [s(3), 0.3, 0.7])
given("clamp.Tensor clip.Tensor", lambda s: [s(3), s(3, low=0, high=0.1), s(3, low=0.9, high=1)])
given("pow.Tensor_Scalar float_power.Tensor_Scalar", lambda s: [s(3), 2.5])
given("pow.Scalar float_power.Scalar", lambda s: [1.5, s(3)])
given("matrix_power", lambda s: [square(s), 3])
given("ldexp", lambda s: [s(3), s(3)])
given("trapezoid.x trapz.x cumulative_trapezoid.x", lambda s: [s(4), s(4)])
given("gradient", lambda s: [s(4)])
given("diff", lambda s: [s(4)])
given("vander linalg_vander", lambda s: [s(3)])
given("ormqr", lambda s: [s(3, 3), s(3), s(3, 2)])
given("householder_product orgqr", lambda s: [s(3, 2), s(2)])
given("cholesky_inverse", lambda s: [torch.linalg.cholesky(definite(s)).detach().requires_grad_()])
given("cholesky_solve", lambda s: [s(3, 2), torch.linalg.cholesky(definite(s)).detach().requires_grad_()])
given("lu_solve", lambda s: [s(3, 2), *lu(s)])
given("linalg_lu_solve", lambda s: [*lu(s), s(3, 2)])
given("lu_unpack", lu)
given("linalg_ldl_solve", lambda s: [*torch.linalg.ldl_factor(definite(s).detach()), s(3, 2)])
given("linalg_polar", lambda s: [square(s)])
given("nuclear_norm.dim", lambda s: [s(2, 3), [0, 1]])
given("solve_triangular", lambda s: [square(s).detach().triu().requires_grad_(), s(3, 2), {"upper": True}])
given("triangular_solve", lambda s: [s(3, 2), square(s)])
given("solve solve_ex", lambda s: [square(s), s(3, 2)])
given("lstsq", lambda s: [s(4, 2), s(4, 1)])
given("tensorinv", lambda s: [square(s).reshape(3, 3), 1])
given("tensorsolve", lambda s: [square(s), s(3)])
given(
    "inv inverse inv_ex det slogdet logdet matrix_exp pinv pinverse qr svd svdvals eig eigvals lu lu_factor lu_factor_ex cond"
    " ldl_factor ldl_factor_ex matrix_rank geqrf",
    lambda s: [square(s)],
)
given("eigh eigvalsh", lambda s: [definite(s)])
given("istft", lambda s: [s(3, 4), 4, {"window": torch.ones(4, dtype=torch.float64)}])
given("stft", lambda s: [s(8), 4, {"return_complex": True, "window": torch.ones(4, dtype=torch.float64)}])
given("irfft hfft irfftn irfft2 hfftn hfft2", lambda s: [s(3, 3)])
given("scaled_dot_product_attention", lambda s: [s(1, 2, 3), s(1, 2, 3), s(1, 2, 3)])
given("_rnn_layer", lambda s: [s(2, 2, 8), s(2, 2), s(2, 2), s(8, 2), s(8), "LSTM", False])
given("pdist", lambda s: [s(3, 2)])
given("cosine_similarity", lambda s: [s(3, 2), s(3, 2)])
given("huber_loss smooth_l1_loss l1_loss mse_loss", lambda s: [s(3), s(3)])
given("logit", lambda s: [s(3)])
given("igamma igammac", lambda s: [real(s, 3), s(3)])
given("zeta zeta.self_scalar", lambda s: [real(s, 3) + 2, s(3)])
given("zeta.self_scalar", lambda s: [2.5, s(3)])
given("histogramdd", lambda s: [s(4, 2), [2, 3]])
given("histogramdd.TensorList_bins", lambda s: [s(4, 2), [torch.tensor([0.0, 0.5, 1.0], dtype=s.dtype)] * 2])
given("bincount", lambda s: [indices(0, 2, 2)])
given("repeat_interleave.Tensor", lambda s: [indices(0, 2, 2)])
given("meshgrid.indexing", lambda s: [[s(2), s(3)], {"indexing": "ij"}])
given("nonzero_static", lambda s: [s(3), {"size": 2}])
given("round.decimals", lambda s: [s(3), {"decimals": 1}])
given("sort.stable argsort.stable", lambda s: [s(3), {"stable": True}])
given("softmin log_softmax.functional softmax.functional", lambda s: [s(2, 3), 1])
given("div.Tensor_mode", lambda s: [s(3), s(3), {"rounding_mode": "floor"}])
given("div.Scalar_mode", lambda s: [s(3), 0.4, {"rounding_mode": "trunc"}])
given("randint.low", lambda s: [1, 5, [2]])
given("randint_like.low_dtype", lambda s: [s(3), 1, 5])
given("random_.from", lambda s: [s(3), 1, 5])
given("copy_", lambda s: [s(3), s(3)])
given("fill_.Tensor", lambda s: [s(3), s()])
given("index_put_", lambda s: [s(3, 3), [indices(0, 2)], s(2, 3)])
given("as_strided_", lambda s: [s(6), [2, 3], [1, 2]])
given("resize_", lambda s: [s(6).detach(), [2, 3]])
given("set_", lambda s: [s(3).detach()])
given("_foreach_add_", lambda s: [[s(3).detach()], 2])
given("_foreach_mul_.Tensor", lambda s: [[s(3).detach()], real(s).detach()])
given(
    "_fused_sgd_",
    lambda s: [
        *([s(3).detach()] for _ in range(3)),
        {
            "weight_decay": 0.1,
            "momentum": 0.9,
            "lr": 0.1,
            "dampening": 0.0,
            "nesterov": True,
            "maximize": False,
            "is_first_step": False,
        },
    ],
)
given(
    "_fused_adam_ _fused_adamw_",
    lambda s: [
        *([s(3).detach()] for _ in range(5)),
        [torch.tensor(1.0)],
        {
            "lr": 0.1,
            "beta1": 0.9,
            "beta2": 0.9,
            "weight_decay": 0.1,
            "eps": 0.1,
            "amsgrad": True,
            "maximize": False,
        },
    ],
)
given(
    "_fused_adagrad_",
    lambda s: [
        *([s(3).detach()] for _ in range(3)),
        [torch.tensor(1.0)],
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 0.1, "maximize": False},
    ],
)
given(
    "_fused_rmsprop_",
    lambda s: [
        *([s(3).detach()] for _ in range(5)),
        {
            "lr": 0.1,
            "alpha": 0.9,
            "eps": 0.1,
            "weight_decay": 0.1,
            "momentum": 0.9,
            "centered": True,
            "maximize": False,
        },
    ],
)
given("view_as_complex_copy", lambda s: [s(3, 2)])
given("resize_as_", lambda s: [s(6).detach(), real(s, 2, 3)])
given("set_.source_Tensor", lambda s: [s(3).detach(), real(s, 2)])
given("set_.source_Tensor_storage_offset", lambda s: [s(3).detach(), real(s, 2), 0, [2], [1]])
given("squeeze_.dims", lambda s: [s(1, 2), [0]])
given("squeeze_.dim unsqueeze_", lambda s: [s(1, 2), 0])
given("squeeze_ t_", lambda s: [s(1, 2)])
given("swapaxes_ swapdims_ transpose_", lambda s: [s(3, 2), 0, 1])
given("cond.p_str norm.ord_str matrix_norm.str_ord", lambda s: [square(s), "fro"])
given("cond.p_str", lambda s: [square(s), "fro"])
given("pinv.rcond pinv.rcond_tensor pinv.atol_rtol_float", lambda s: [square(s)])
given("bernoulli_.Tensor", lambda s: [s(3), real(s, 3)])
given(
    "uniform_ normal_ random_ random_.to cauchy_ exponential_ geometric_ log_normal_ bernoulli_.float zero_ detach_",
    lambda s: [s(3)],
)
given("random_.to", lambda s: [s(3), 5])
given("geometric_", lambda s: [s(3), 0.5])
given("fill_.Scalar", lambda s: [s(3), 2.0])
given("fmod.Scalar remainder.Scalar", lambda s: [s(3), 0.4])
given("fmod.Tensor remainder.Tensor", lambda s: [s(3, low=1, high=2), s(3, low=0.6, high=0.9)])

given("coalesce is_coalesced _indices _values _nnz indices values", lambda s: [s(4)])
given("_sparse_coo_tensor", lambda s: [indices(0, 1, 1, 2, 0, 2, shape=(2, 3)), s(3), [2, 3]])
given("sparse_mask", lambda s: [s(2, 3), sparse(torch.ones(4, dtype=s.dtype))[0]])


# What makes a function of any operand out of one that is defined for some only, or that leaves a choice open.
def sparse(values, *args):
    """A sparse matrix with one place named twice."""
    return (torch.sparse_coo_tensor(indices(0, 1, 1, 0, 2, 0, 2, 2, shape=(2, 4)), values, (2, 3)), *args)


def sparse_and_merged(values, *args):
    return (sparse(values)[0].coalesce(), *args)


def hermitian(*args):
    return ((args[0] + args[0].mH) / 2, *args[1:])


def lower_first(*args):
    return (args[0].tril(), *args[1:])


def lower_second(*args):
    return (args[0], args[1].tril(), *args[2:])


BEFORE = {
    "cholesky": hermitian, "cholesky_ex": hermitian, "eigh": hermitian, "eigvalsh": hermitian, "cholesky_inverse": lower_first,
    "cholesky_solve": lower_second, "ldl_factor": hermitian, "ldl_factor_ex": hermitian,
    "coalesce": sparse, "is_coalesced": sparse, "_indices": sparse, "_values": sparse, "_nnz": sparse,
    "indices": sparse_and_merged, "values": sparse_and_merged,
}  # fmt: skip


def magnitudes(results):
    """Singular vectors and eigenvectors are free up to a factor of magnitude one."""
    return tuple(r.abs() for r in results)


def dense(result):
    return result.to_dense()


AFTER = {"svd": magnitudes, "eigh": magnitudes, "eig": magnitudes}
AFTER |= {"coalesce": dense, "_sparse_coo_tensor": dense, "_to_sparse": dense, "sparse_mask": dense}


def bare(name):
    """The name that hints go by."""
    return name.removeprefix("linalg_").removeprefix("special_").removeprefix("fft_")


def candidates(overload, s):
    """Argument lists from the schema alone, the likelier first."""
    for shape in [(2, 3), (3, 3), (3,), (2, 3, 3), (1, 2, 4, 4), (), (6,), (2, 4)]:
        for mode in range(2):
            args = []
            for param in overload["params"]:
                if "default" in param:
                    break
                kind, name = param["kind"], param["name"]
                if kind == "Tensor":
                    args.append(s(*shape))
                elif kind == "Tensors":
                    args.append([s(*shape), s(*shape)])
                elif kind == "Int":
                    args.append(
                        (0 if name in ("dim0", "source", "start_dim") else min(1, max(len(shape) - 1, 0)))
                        if mode == 0
                        else 2
                    )
                elif kind.startswith(("Ints", "OptInts")):
                    args.append([0] if mode == 0 else [1, 1])
                elif kind in ("Scalar", "Float"):
                    args.append(0.5 if mode == 0 else 2)
                elif kind == "Bool":
                    args.append(mode == 0)
                elif kind in ("DType", "OptDType"):
                    args.append(s.dtype)
                elif kind.startswith("Opt"):
                    args.append(None)
                else:
                    break
            else:
                yield args
                continue
            if len(args) == sum("default" not in p for p in overload["params"]):
                yield args


def entries():
    """`(key, function, op, overload)` of every overload, by its first public name."""
    for op in _C._declarations():
        if not op["places"]:
            continue
        place = op["places"][0]
        function = _C._functions(place).get(op["name"])
        if function is None:
            continue
        for overload in op["overloads"]:
            yield f"{op['name']}.{overload['name']}".rstrip("."), function, op, overload


def hinted(key, op):
    for name in (key, bare(key), op["name"], bare(op["name"])):
        if name in HINTS:
            return HINTS[name]
    return None


def differentiable(result):
    """The results that gradients flow through."""
    items = [result] if isinstance(result, torch.Tensor) else list(result) if isinstance(result, (list, tuple)) else []
    flat = itertools.chain.from_iterable(i if isinstance(i, (list, tuple)) else [i] for i in items)
    return tuple(r for r in flat if isinstance(r, torch.Tensor) and r.requires_grad)
