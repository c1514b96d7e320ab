using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Selection;

namespace Sparseland.Pruning.Tests.Criteria;

public class CriteriaTests
{
    private static readonly float[] s_weights = [3, -1, 2, 0.5f, -2, 4, 1, -1];
    private static readonly float[] s_norms = [MathF.Sqrt(5), 1, MathF.Sqrt(8), 4];

    [Fact]
    public void Wanda_worked_example()
    {
        PrunableLayer layer = Make.Layer("w", 2, 4);
        float[] scores = new WandaCriterion().Score(new ScoreInput(layer, s_weights) { InputNorms = s_norms });
        Near.Equal([6.708f, 1, 5.657f, 2, 4.472f, 4, 2.828f, 4], scores, 1e-3);
        Mask mask = WandaPruning.Rows(layer, scores, 0.5, null);
        float[] pruned = [.. s_weights];
        mask.Apply(pruned);
        Assert.Equal([3, 0, 2, 0, -2, 0, 0, -1], pruned);
    }

    [Fact]
    public void Wanda_sees_inputs_first_weights_the_same_way()
    {
        PrunableLayer layer = Make.Layer("w", 2, 4), turned = Make.Layer("w", 4, 2) with { OutputsFirst = false };
        float[] columns = turned.FromMatrix([.. s_weights]);
        float[] scores = new WandaCriterion().Score(new ScoreInput(turned, columns) { InputNorms = s_norms });
        Near.BitEqual(new WandaCriterion().Score(new ScoreInput(layer, s_weights) { InputNorms = s_norms }), turned.ToMatrix(scores));
        WandaPruning.Rows(turned, scores, 0.5, null).Apply(columns);
        Assert.Equal([3, 0, 2, 0, -2, 0, 0, -1], turned.ToMatrix(columns));
    }

    [Fact]
    public void Two_of_four_keeps_the_lower_index_of_equals_and_skips_what_does_not_divide()
    {
        PrunableLayer layer = Make.Layer("w", 2, 4);
        Mask mask = MaskMaker.NofM(layer, SparsityPattern.NofM(2, 4), [0.5f, 0.1f, 0.3f, 0.2f, 1, 1, 1, 1], null, out string? note);
        Assert.Null(note);
        Assert.Equal([true, false, true, false, true, true, false, false], mask.ToFlags());
        Mask odd = MaskMaker.NofM(Make.Layer("w", 2, 3), SparsityPattern.NofM(2, 4), new float[6], null, out note);
        Assert.Equal(6, odd.KeptCount);
        Assert.Contains("multiple of 4", note);
    }

    [Fact]
    public void Snip_worked_example()
    {
        float[] scores = new SnipCriterion().Score(new ScoreInput(Make.Layer("w", 1, 2), [2, 3]) { Gradient = [15, -10] });
        Assert.Equal([30, 30], scores);
        Assert.Throws<ArgumentException>(() => new SnipCriterion().Score(new ScoreInput(Make.Layer("w", 1, 2), [2, 3])));
    }

    [Fact]
    public void Random_scores_depend_on_seed_and_name_alone()
    {
        var criterion = new RandomCriterion();
        float[] Of(string name, long seed) => criterion.Score(new ScoreInput(Make.Layer(name, 10, 10), new float[100]) { Seed = seed });
        Assert.Equal(Of("a", 1), Of("a", 1));
        Assert.NotEqual(Of("a", 1), Of("a", 2));
        Assert.NotEqual(Of("a", 1), Of("b", 1));
        Assert.All(Of("a", 1), v => Assert.InRange(v, 0f, 1f));
    }

    [Fact]
    public void Blocks_by_name()
    {
        PrunableLayer[] layers = [.. ((string[])["layers.0.wq", "layers.0.wk", "layers.1.wq", "layers.10.wq", "model/h.3/mlp", "head"]).Select(n => Make.Layer(n, 2, 2))];
        Assert.Equal([2, 1, 1, 1, 1], WandaPruning.Blocks(layers).Select(b => b.Count));
    }
}
