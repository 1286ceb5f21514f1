"""Learning-rate schedules and averaged models."""

import pytest

import flambeau as torch
from flambeau import nn, optim
from flambeau.optim import lr_scheduler, swa_utils


def optimizer(lr=0.1):
    return optim.SGD([nn.Parameter(torch.ones(1))], lr=lr, momentum=0.9)


def rates(build, steps=6):
    run = optimizer()
    schedule = build(run)
    found = []
    for _ in range(steps):
        found.append(run.param_groups[0]["lr"])
        run.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    "build, expected",
    [
        (lambda o: lr_scheduler.StepLR(o, 2), [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
        (lambda o: lr_scheduler.MultiStepLR(o, [1, 4], 0.5), [0.1, 0.05, 0.05, 0.05, 0.025, 0.025]),
        (lambda o: lr_scheduler.ExponentialLR(o, 0.5), [0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125]),
        (lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (epoch + 1)), [0.1, 0.05, 0.1 / 3, 0.025, 0.02, 0.1 / 6]),
        (lambda o: lr_scheduler.ConstantLR(o, 0.5, 3), [0.05, 0.05, 0.05, 0.1, 0.1, 0.1]),
        (lambda o: lr_scheduler.LinearLR(o, 0.2, 1.0, 4), [0.02, 0.04, 0.06, 0.08, 0.1, 0.1]),
        (lambda o: lr_scheduler.PolynomialLR(o, 4), [0.1, 0.075, 0.05, 0.025, 0.0, 0.0]),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 2), [0.1, 0.05, 0.0, 0.05, 0.1, 0.05]),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2), [0.1, 0.05, 0.1, 0.05, 0.1, 0.05]),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.3, 2), [0.1, 0.2, 0.3, 0.2, 0.1, 0.2]),
        (
            lambda o: lr_scheduler.SequentialLR(
                o, [lr_scheduler.ConstantLR(o, 0.5), lr_scheduler.ExponentialLR(o, 0.5)], [2]
            ),
            [0.05, 0.05, 0.1, 0.05, 0.025, 0.0125],
        ),
        (
            lambda o: lr_scheduler.ChainedScheduler(
                [lr_scheduler.ConstantLR(o, 0.5, 2), lr_scheduler.ExponentialLR(o, 0.5)]
            ),
            [0.05, 0.025, 0.025, 0.0125, 0.00625, 0.003125],
        ),
        (lambda o: swa_utils.SWALR(o, 0.5, 2, "linear"), [0.1, 0.3, 0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_rates(build, expected):
    assert rates(build) == pytest.approx(expected, abs=1e-12)


def test_one_cycle():
    found = rates(lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=6, anneal_strategy="linear"))
    assert found[0] == pytest.approx(0.04) and max(found) > 0.9 and found[-1] == pytest.approx(4e-6)
    run = optimizer()
    schedule = lr_scheduler.OneCycleLR(run, 1.0, total_steps=1)
    run.step()
    schedule.step()
    with pytest.raises(ValueError, match="Tried to step 2 times. The specified number of total steps is 1"):
        schedule.step()


def test_plateau():
    run = optimizer()
    schedule = lr_scheduler.ReduceLROnPlateau(run, patience=1, factor=0.5)
    for metric in (1.0, 0.5, 0.5, 0.5):
        schedule.step(metric)
    assert schedule.get_last_lr() == [0.05]
    assert schedule.best == 0.5 and schedule.last_epoch == 4


def test_state_dict_round_trip():
    run = optimizer()
    schedule = lr_scheduler.StepLR(run, 2)
    run.step()
    schedule.step()
    state = schedule.state_dict()
    assert "optimizer" not in state and state["last_epoch"] == 1
    other = lr_scheduler.StepLR(optimizer(), 5)
    other.load_state_dict(state)
    assert other.step_size == 2 and other.last_epoch == 1


def test_order_of_steps_is_checked():
    schedule = lr_scheduler.StepLR(optimizer(), 2)
    with pytest.warns(UserWarning, match="before `optimizer.step\\(\\)`"):
        schedule.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr\\(\\)`"):
        schedule.get_lr()
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        lr_scheduler.StepLR(3, 1)


def test_user_defined_schedule():
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [rate / 2**self.last_epoch for rate in self.base_lrs]

    assert rates(Halving, 3) == pytest.approx([0.1, 0.05, 0.025])


def test_a_tensor_learning_rate_stays_one_object():
    run = optimizer(torch.tensor(0.5))
    rate = run.param_groups[0]["lr"]
    schedule = lr_scheduler.StepLR(run, 1)
    run.step()
    schedule.step()
    assert run.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(0.05)


def test_averages_of_buffers_that_are_integers():
    def counts(**options):
        model = nn.BatchNorm1d(2)
        average = swa_utils.AveragedModel(model, use_buffers=True, **options)
        seen = []
        for _ in range(6):
            model.num_batches_tracked += 3
            average.update_parameters(model)
            seen.append(average.module.num_batches_tracked.item())
        return seen

    assert counts() == counts(avg_fn=swa_utils.get_swa_avg_fn()) == [3, 4, 5, 6, 7, 8]
    assert counts(multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9)) == [3, 3, 3, 3, 4, 5]
    assert counts(avg_fn=swa_utils.get_ema_avg_fn(0.9)) == [3, 3, 3, 3, 4, 5]
    with pytest.raises(RuntimeError):
        counts(multi_avg_fn=swa_utils.get_swa_multi_avg_fn())
