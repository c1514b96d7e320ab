using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;
using Sparseland.Training.Losses;
using Sparseland.Training.Optimizers;

namespace Sparseland.Training.Tests.Optimizers;

/// <summary>Steps against numbers computed in double by a direct transcription of the published formulas.</summary>
public class OptimizerTests
{
    private static readonly float[][] s_gradients = [[0.1f, -0.2f, 0.3f], [-0.4f, 0.25f, 0.05f], [0.7f, 0, -0.6f]];

    [Theory]
    [InlineData(0, 0, false, 0, new[] { 0.46, -1.255, 2.025 })]
    [InlineData(0.9, 0, false, 0, new[] { 0.4789, -1.2433, 1.9692 })]
    [InlineData(0.9, 0.01, true, 0, new[] { 0.43695096198049993, -1.23904169924625, 1.981536586512 })]
    [InlineData(0.8, 0.05, false, 0.3, new[] { 0.466065471875, -1.2054844909375, 1.91904026 })]
    public void SgdTakesTheKnownSteps(double momentum, double decay, bool nesterov, double dampening, double[] expected) =>
        Check(ps => new Sgd(ps, 0.1, momentum, decay, nesterov, dampening), expected);

    [Theory]
    [InlineData(0.999, 0, new[] { 0.49228415530469755, -1.242885248075945, 1.9851302413110195 })]
    [InlineData(0.99, 0.1, new[] { 0.4900029151283508, -1.231696053282459, 1.9785595130374718 })]
    public void AdamTakesTheKnownSteps(double beta2, double decay, double[] expected) =>
        Check(ps => new Adam(ps, 0.01, 0.9, beta2, weightDecay: decay), expected);

    [Fact]
    public void AdamWTakesTheKnownSteps() =>
        Check(ps => new AdamW(ps, 0.01, weightDecay: 0.1), [0.49080004976795, -1.2391573595024006, 1.9791640625834714]);

    [Fact]
    public void StateGoesOutAndInAgain()
    {
        TrainableModel a = Model(), b = Model();
        var first = new AdamW(a.Parameters, 0.01);
        foreach (float[] g in s_gradients) Apply(a, first, g);
        foreach (Parameter p in a.Parameters)
        {
            p.Value.Values.CopyTo(b.Parameter(p.Name).Value.Values);
        }
        var second = new AdamW(b.Parameters, 0.01);
        second.Import(first.Export());
        Assert.Equal(3, second.Steps);
        for (int i = 0; i < 3; i++)
        {
            Apply(a, first, s_gradients[i]);
            Apply(b, second, s_gradients[i]);
        }
        Near.BitEqual(a.Parameters[0].Value.Values, b.Parameters[0].Value.Values, "resumed");

        Assert.Equal("SL3010", Assert.Throws<SparselandException>(() => new Adam(b.Parameters).Import(first.Export())).Code);
        var strange = first.Export() with { Moments = new Dictionary<string, TensorData> { ["other/m"] = TensorData.Vector(1f), ["other/v"] = TensorData.Vector(1f) } };
        Assert.Contains("other/m", Assert.Throws<SparselandException>(() => second.Import(strange)).Message);
    }

    [Fact]
    public void MomentsOfRemovedAndRegrownEntriesStartAfresh()
    {
        TrainableModel model = Model();
        Parameter p = model.Parameters[0];
        var optimizer = new Sgd(model.Parameters, 0.1, 0.9);
        model.MaskChanged += optimizer.OnMaskChanged;
        Apply(model, optimizer, s_gradients[0]);
        model.SetMask(p, Mask.FromFlags([3], [true, false, true]));
        Assert.Equal(0, p.Value.Values[1]);
        Assert.Equal(0, optimizer.Export().Moments["w/velocity"].Span<float>()[1]);
        p.WantsDenseGradient = true;
        Apply(model, optimizer, s_gradients[1]);
        Assert.Equal(0.25f, p.Grad!.Values[1]);
        Assert.Equal(0, p.Value.Values[1]);
        Assert.Equal(0, optimizer.Export().Moments["w/velocity"].Span<float>()[1]);
        model.SetMask(p, Mask.FromFlags([3], [true, true, false]));
        Span<float> velocity = optimizer.Export().Moments["w/velocity"].Span<float>();
        Assert.NotEqual(0, velocity[0]);
        Assert.Equal(0, velocity[1]);
        Assert.Equal(0, velocity[2]);
    }

    [Fact]
    public void GradientsAreClippedByNormAndValue()
    {
        TrainableModel model = Model();
        Backward(model, [3, 0, 4]);
        Assert.Equal(5, GradientClipping.ByNorm(model.Parameters, 1), 5);
        Near.Equal([0.6f, 0, 0.8f], model.Parameters[0].Grad!.Values, 1e-5);
        Assert.Equal(1, GradientClipping.ByNorm(model.Parameters, 10), 4);
        GradientClipping.ByValue(model.Parameters, 0.7f);
        Near.Equal([0.6f, 0, 0.7f], model.Parameters[0].Grad!.Values, 1e-5);
        Assert.Throws<ArgumentOutOfRangeException>(() => GradientClipping.ByNorm(model.Parameters, 0));
    }

    [Fact]
    public void AveragesFollowTheWeights()
    {
        TrainableModel model = Model();
        var average = new WeightAverage(model, 0.75);
        Parameter p = model.Parameters[0];
        float[] start = p.Value.ToArray();
        new[] { 2f, 2f, 2f }.CopyTo(p.Value.Values);
        average.Update();
        average.Apply();
        for (int i = 0; i < 3; i++) Assert.Equal((0.75f * start[i]) + 0.5f, p.Value.Values[i], 5);
        Assert.Throws<InvalidOperationException>(average.Apply);
        average.Restore();
        Assert.Equal([2f, 2f, 2f], p.Value.ToArray());
    }

    [Fact]
    public void AMaskThatWasLiftedAndComesBackHoldsForTheAverageToo()
    {
        TrainableModel model = Model();
        var average = new WeightAverage(model, 0.75);
        Parameter p = model.Parameters[0];
        Mask mask = Mask.FromFlags([3], [true, false, true]);
        model.SetMask(p, mask);
        average.Update();
        model.SetMask(p, null);
        new[] { 2f, 2f, 2f }.CopyTo(p.Value.Values);
        p.TouchValues();
        average.Update();
        Assert.Equal(0.5f, average.Export()["w"].Span<float>()[1]);
        model.SetMask(p, mask);
        average.Update();
        Assert.Equal(0f, average.Export()["w"].Span<float>()[1]);
    }

    [Fact]
    public void AveragesOfKeptEntriesAreThoseOfTheWholeWeight()
    {
        const int Length = 200_003;
        TrainableModel model = Model([.. Enumerable.Range(0, Length).Select(i => i % 97 - 48f)]);
        Parameter p = model.Parameters[0];
        var random = new Random(3);
        model.SetMask(p, Mask.FromFlags([Length], [.. Enumerable.Range(0, Length).Select(_ => random.Next(20) == 0)]));
        var average = new WeightAverage(model, 0.75);
        float[] start = p.Value.ToArray(), kept = p.Sparse.Packed(p);
        for (int i = 0; i < kept.Length; i++) kept[i] = i % 1013;
        p.TouchPacked();
        Assert.NotNull(p.Sparse.PackedNow(p));
        average.Update();
        float[] now = p.Value.ToArray(), expected = [.. start.Zip(now, (a, b) => 0.75f * a + 0.25f * b)];
        Assert.Contains(1012f, now);
        Assert.Equal(expected, average.Export()["w"].Array<float>());
    }

    [Fact]
    public void GroupsHaveTheirOwnDecayAndRate()
    {
        TrainableModel model = Model();
        var optimizer = new Sgd([new ParameterGroup(model.Parameters, weightDecay: 0, learningRateScale: 2)], 0.1, weightDecay: 100);
        Apply(model, optimizer, [1, 1, 1]);
        Near.Equal([0.3f, -1.45f, 1.8f], model.Parameters[0].Value.Values, 1e-6);
        Assert.Throws<ArgumentException>(() => new Sgd([new ParameterGroup(model.Parameters), new ParameterGroup(model.Parameters)], 0.1));
        Assert.Throws<ArgumentException>(() => new Sgd(model.Parameters, 0.1, nesterov: true));
    }

    private static void Check(Func<IEnumerable<Parameter>, IOptimizer> make, double[] expected)
    {
        TrainableModel model = Model();
        IOptimizer optimizer = make(model.Parameters);
        foreach (float[] g in s_gradients) Apply(model, optimizer, g);
        Near.Equal(System.Array.ConvertAll(expected, v => (float)v), model.Parameters[0].Value.Values, 1e-6, 1e-6, "values");
    }

    private static void Apply(TrainableModel model, IOptimizer optimizer, float[] gradient)
    {
        Backward(model, gradient);
        optimizer.Step();
    }

    private static void Backward(TrainableModel model, float[] gradient)
    {
        model.ZeroGrad();
        Tensor y = model.Forward(new Dictionary<string, ModelValue>())["y"].Tensor;
        y.Backward(Tensor.From(gradient, 3));
    }

    private static TrainableModel Model() => Model([0.5f, -1.25f, 2f]);

    private static TrainableModel Model(float[] values)
    {
        var g = new ModelGraph("one");
        g.AddWeight(new Weight("w", TensorData.Vector(values)));
        g.Nodes.Add(new Node("id", "Identity", ["w"], ["y"]));
        g.Outputs.Add(new GraphValue("y", new TensorType(ElementType.Float32, null)));
        return new TrainableModel(g, new TrainableModelOptions { IsTrained = _ => true });
    }
}
