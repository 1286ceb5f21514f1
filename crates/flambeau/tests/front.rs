//! Constructors, operators, indexing and differentiation as Rust programs write them.

use flambeau::autograd::functional::{hessian, jacobian, vjp};
use flambeau::autograd::{self, GradOptions};
use flambeau::{
    DType, Device, DeviceType, Index, Result, Slice, Tensor, arange, eye, full, ones, tensor, zeros,
};

fn text(t: &Tensor) -> String {
    t.to_string()
}
fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().message().to_string()
}
fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_vec().unwrap()
}

#[test]
fn tensors_of_nested_data() {
    assert_eq!(text(&tensor(3i64).unwrap()), "tensor(3)");
    assert_eq!(text(&tensor(vec![[true, false]]).unwrap()), "tensor([[ True, False]])");
    assert_eq!(tensor([[[1u8; 4]; 3]; 2]).unwrap().sizes()[..], [2, 3, 4]);
    assert_eq!(text(&tensor([1f64]).unwrap()), "tensor([1.], dtype=torch.float64)");
    assert_eq!(tensor(Vec::<Vec<f32>>::new()).unwrap().sizes()[..], [0]);
    let rows: [&[f32]; 2] = [&[1., 2.], &[3.]];
    assert_eq!(message(tensor(rows)), "expected sequence of length 2 (got 1)");
    let meta = Device { kind: DeviceType::Meta, index: None };
    assert!(zeros([1 << 40], (DType::Float64, meta)).unwrap().is_meta());
    assert_eq!(text(&full([2], 7, DType::Int32).unwrap()), "tensor([7, 7], dtype=torch.int32)");
    assert_eq!(message(zeros([-1], ())), "zeros: Dimension size must be non-negative.");
}

#[test]
fn operators_promote_and_record_as_in_python() {
    let x = tensor([1f32, 4.]).unwrap().requires_grad_(true).unwrap();
    let name = |t: Tensor| t.grad_fn().unwrap().name().to_string();
    assert_eq!(name(&x + &x), "AddBackward0");
    assert_eq!(name(&x - 1.0), "SubBackward0");
    assert_eq!(name(10 - &x), "RsubBackward1");
    assert_eq!(name(2.0 * &x), "MulBackward0");
    assert_eq!(name(1.0 / &x), "MulBackward0");
    assert_eq!(name(-&x), "NegBackward0");
    assert_eq!(numbers(&(8.0 / &x)), [8.0, 2.0]);
    assert_eq!(numbers(&(7 % tensor([2i64, 4]).unwrap())), [1.0, 3.0]);
    assert_eq!(numbers(&(tensor([7i64, -7]).unwrap() % 4)), [3.0, 1.0]);
    assert_eq!((tensor([1i64]).unwrap() * 2).dtype(), DType::Int64);
    assert_eq!((tensor([1i64]).unwrap() / 2).dtype(), DType::Float32);
    assert_eq!((tensor([1f64]).unwrap() + x.detach().unwrap()).dtype(), DType::Float64);
}

#[test]
#[should_panic(
    expected = "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0"
)]
fn operators_panic_with_the_methods_message() {
    let _ = ones([2], ()).unwrap() + ones([3], ()).unwrap();
}

#[test]
fn indices() {
    let t = arange(0, 24, 1, ()).unwrap().view(&[2, 3, 4]).unwrap();
    assert_eq!(t.i((0, 1, 2)).unwrap().item().unwrap().to_i64(), 6);
    assert_eq!(t.i((-1, .., 1..3)).unwrap().sizes()[..], [3, 2]);
    assert_eq!(t.i((Index::NewAxis, Index::Ellipsis, 0)).unwrap().sizes()[..], [1, 2, 3]);
    let every = Slice { start: Some(1), stop: None, step: 2 };
    assert_eq!(numbers(&t.i((0, 0, every)).unwrap()), [1.0, 3.0]);
    let (rows, columns) = (tensor([0i64, 1]).unwrap(), tensor([2i64, 0]).unwrap());
    assert_eq!(numbers(&t.i((&rows, &columns, 0)).unwrap()), [8.0, 12.0]);
    assert_eq!(t.i(true).unwrap().sizes()[..], [1, 2, 3, 4]);
    assert_eq!(message(t.i((0, 0, 0, 0))), "too many indices for tensor of dimension 3");
    assert_eq!(message(t.i((0, 5))), "index 5 is out of bounds for dimension 0 with size 3");
    let backwards = Slice { start: None, stop: None, step: -1 };
    assert_eq!(message(t.i(backwards)), "step must be greater than zero");

    t.i_put_((0, 0), &tensor([[9i64, 8, 7, 6]]).unwrap()).unwrap();
    assert_eq!(numbers(&t.i((0, 0)).unwrap()), [9.0, 8.0, 7.0, 6.0]);
    t.i_put_(&t.gt_scalar(5).unwrap(), &tensor(0i64).unwrap()).unwrap();
    assert_eq!(t.sum().unwrap().item().unwrap().to_i64(), 4 + 5);
    assert!(t.i_put_((0, 0), &tensor([1i64, 2]).unwrap()).is_err());
}

#[test]
fn gradients() {
    let x = tensor([1f64, 2.]).unwrap().requires_grad_(true).unwrap();
    let y = tensor([3f64]).unwrap().requires_grad_(true).unwrap();
    let product = (&x * &x).sum().unwrap();
    let both =
        autograd::grad(&product, &[&x, &y], None, GradOptions { retain_graph: true, ..Default::default() });
    let both = both.unwrap();
    assert_eq!(numbers(both[0].as_ref().unwrap()), [2.0, 4.0]);
    assert!(both[1].is_none());
    assert!(x.grad().is_none());
    product.backward().unwrap();
    assert!(message(product.backward()).starts_with("Trying to backward through the graph a second time"));
    assert_eq!(message((&x * 2.0).backward()), "grad can be implicitly created only for scalar outputs");
    let plain = ones([1], ()).unwrap();
    assert_eq!(
        message(plain.backward()),
        "element 0 of tensors does not require grad and does not have a grad_fn"
    );
    let wrong =
        autograd::backward(&(&x * 2.0), Some(&ones([3], DType::Float64).unwrap()), GradOptions::default());
    assert!(message(wrong).starts_with("Mismatch in shape"));
    x.zero_grad();
    assert!(x.grad().is_none());
}

#[test]
fn jacobians_and_hessians() {
    let x = tensor([1f64, 2.]).unwrap();
    assert_eq!(numbers(&jacobian(|x| x.pow_scalar(2)?.view(&[2, 1]), &x).unwrap()), [2.0, 0.0, 0.0, 4.0]);
    assert_eq!(jacobian(|x| x.view(&[2, 1]), &x).unwrap().sizes()[..], [2, 1, 2]);
    assert_eq!(numbers(&jacobian(|_| ones([2], DType::Float64), &x).unwrap()), [0.0; 4]);
    let form = |x: &Tensor| (&eye(2, DType::Float64)? * 2. + 1.).mv(x)?.dot(x);
    assert_eq!(numbers(&hessian(form, &x).unwrap()), [6.0, 2.0, 2.0, 6.0]);
    assert_eq!(numbers(&hessian(|x| x.sum(), &x).unwrap()), [0.0; 4]);
    assert!(hessian(|x| x.square(), &x).is_err());
    let (value, product) = vjp(|x| Ok(x * 3.), &x, &tensor([1f64, -1.]).unwrap()).unwrap();
    assert_eq!((numbers(&value), numbers(&product)), (vec![3.0, 6.0], vec![3.0, -3.0]));
    assert!(!x.requires_grad());
}
