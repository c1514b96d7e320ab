using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Schedules;

namespace Sparseland.Pruning.Tests.Analysis;

public class TrainingCostTests
{
    [Fact]
    public void Worked_examples()
    {
        Assert.Equal(0.1, TrainingCost.StaticStep(TrainingCost.SparseShare([(90, 0.1), (10, 0.1)])), 12);
        Assert.Equal(0.102970, TrainingCost.DynamicStep(0.1, 100), 6);
        Assert.Equal(11, TrainingCost.Rounds(10, 0.2, skipsZeros: false));
        Assert.Equal(4.570503, TrainingCost.Rounds(10, 0.2, skipsZeros: true), 6);
        Assert.Equal(1, TrainingCost.GradualRun(new CubicRamp(0, 0, 0, 10, 1), 100), 12);
        // Sparse from the first step: the same as static masks.
        Assert.Equal(0.1, TrainingCost.GradualRun(new OneShot(0.9), 100), 12);
        Assert.InRange(TrainingCost.GradualRun(new CubicRamp(0, 0.9, 0, 100, 1), 100), 0.3, 0.35);
    }
}
