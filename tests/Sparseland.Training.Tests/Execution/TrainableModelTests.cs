using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;
using Sparseland.Training.Losses;
using Sparseland.Training.Optimizers;

namespace Sparseland.Training.Tests.Execution;

public class TrainableModelTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void MaskedProductsAgreeBetweenDenseAndSparseKernels(int stride)
    {
        (TrainableModel dense, TrainableModel sparse) = (Masked(Network(stride), 0), Masked(Network(stride), 1));
        foreach (bool full in (bool[])[false, true])
        {
            foreach (TrainableModel model in (TrainableModel[])[dense, sparse])
            {
                foreach (Parameter p in model.Parameters) p.WantsDenseGradient = full;
            }
            for (int step = 0; step < 2; step++)
            {
                Tensor a = Step(dense), b = Step(sparse);
                Near.Equal(a.Values, b.Values, 1e-4, 1e-4, "output");
                foreach (Parameter p in dense.Parameters)
                {
                    Parameter q = sparse.Parameter(p.Name);
                    Near.Equal(p.Grad!.Values, q.Grad!.Values, 1e-4, 1e-3, $"gradient of {p.Name}");
                    if (p.Mask is not { } mask) continue;
                    bool outside = Enumerable.Range(0, mask.Length).Any(i => !mask[i] && q.Grad.Values[i] != 0);
                    Assert.Equal(full, outside);
                }
                // A step changes values: prepared structures must follow.
                foreach (TrainableModel model in (TrainableModel[])[dense, sparse])
                {
                    new Sgd(model.Parameters, 0.05).Step();
                    model.ZeroGrad();
                }
            }
        }
    }

    [Fact]
    public void RemovedEntriesStayZeroAndDensityNeverRises()
    {
        ModelGraph graph = Network(1);
        TrainableModel model = Masked(graph, 1);
        var optimizer = new AdamW(model.Parameters, 0.01);
        model.MaskChanged += optimizer.OnMaskChanged;
        for (int i = 0; i < 3; i++)
        {
            Step(model);
            optimizer.Step();
            optimizer.ZeroGrad();
        }
        model.SyncToGraph();
        foreach (Parameter p in model.Parameters.Where(p => p.Mask is not null))
        {
            Weight weight = graph.Weights[p.Name];
            Assert.Equal(p.Mask, weight.Mask);
            Span<float> values = weight.Read().Span<float>();
            for (int i = 0; i < values.Length; i++)
            {
                if (!p.Mask![i]) Assert.Equal(0f, values[i]);
            }
        }
        Parameter first = model.Parameters.First(p => p.Mask is not null);
        float before = graph.Weights[first.Name].Read().Span<float>()[0];
        model.SetMask(first, null);
        SparselandException e = Assert.Throws<SparselandException>(() => model.SyncToGraph());
        Assert.Equal("SL3011", e.Code);
        Assert.Equal(before, graph.Weights[first.Name].Read().Span<float>()[0]);
        model.SyncToGraph(allowDenser: true);
        Assert.Null(graph.Weights[first.Name].Mask);
    }

    [Fact]
    public void KindsOfParametersFollowTheirUse()
    {
        var model = new TrainableModel(Network(1));
        Assert.Equal(ParameterKind.Weight, model.Parameters.Single(p => p.Value.Rank == 4 && p.Value.Shape[1] == 3).Kind);
        Assert.Equal(2, model.Buffers.Count);
        Assert.Equal(2, model.Parameters.Count(p => p.Kind == ParameterKind.Norm));
        Assert.DoesNotContain(model.Parameters, p => model.Buffers.Any(b => b.Name == p.Name));
        ParameterGroup[] groups = ParameterGroup.WithoutDecayOnNormsAndBiases(model.Parameters);
        Assert.All(groups[1].Parameters, p => Assert.True(p.Kind is ParameterKind.Norm or ParameterKind.Bias));
        Assert.Equal(0, groups[1].WeightDecay);
    }

    [Fact]
    public void TrainingModeLearnsStatisticsAndEvaluationUsesThem()
    {
        var model = new TrainableModel(Network(1));
        Tensor x = Input();
        float[] mean = model.Buffers[0].Value.ToArray();
        Tensor trained = model.Forward(x);
        Assert.NotEqual(mean, model.Buffers[0].Value.ToArray());
        Assert.True(trained.RequiresGrad);
        model.IsTraining = false;
        Tensor evaluated = model.Forward(x);
        Assert.False(evaluated.RequiresGrad);
        Assert.NotEqual(trained.ToArray(), evaluated.ToArray());
        IReadOnlyDictionary<string, TensorData> reference = Reference(model, x);
        Near.Equal(reference.Values.First().Span<float>(), evaluated.Values, 1e-4, 1e-4, "evaluation");
    }

    [Fact]
    public void ObserversSeeValuesThatFusionWouldSkip()
    {
        ModelGraph graph = Network(1);
        var model = new TrainableModel(graph);
        string between = graph.Nodes.First(n => n.OpType == "BatchNormalization").Outputs[0];
        Tensor? seen = null;
        float[] plain = model.Forward(Input()).ToArray();
        using (model.Observe(between, v => seen = v.Tensor))
        {
            Assert.Equal(plain, model.Forward(Input()).ToArray());
        }
        Assert.NotNull(seen);
        Assert.Contains(seen.ToArray(), v => v < 0);
        float[] kept = seen.ToArray();
        for (int i = 0; i < 3; i++) Step(model);
        Assert.Equal(kept, seen.ToArray());
    }

    // A sum whose other operand comes later, or has another shape, is left alone.
    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void WhatFollowsANormalisationIsComputedAtOnceAndChangesNothing(bool trains, bool sparse)
    {
        (float[] Output, float[] Gradients) Run(bool observed)
        {
            ModelGraph graph = Blocks();
            TrainableModel model = Masked(graph, sparse ? 1 : 0);
            model.IsTraining = trains;
            model.RecordsInEvaluation = true;
            var sums = new List<IDisposable>();
            foreach (Node node in graph.Nodes.Where(n => n.OpType == "Add" && observed)) sums.Add(model.Observe(node.Outputs[0], v => Assert.Contains(v.Tensor.ToArray(), number => number < 0)));
            Assert.Equal(observed ? 5 : 0, sums.Count);
            Tensor y = Step(model);
            foreach (IDisposable sum in sums) sum.Dispose();
            Assert.Equal(observed ? 5 : 1, Recorded(y, "Add"));
            return (y.ToArray(), [.. model.Parameters.SelectMany(p => p.Grad!.ToArray())]);
        }
        (float[] output, float[] gradients) = Run(observed: false);
        (float[] expected, float[] expectedGradients) = Run(observed: true);
        Near.BitEqual(expected, output, "output");
        Near.BitEqual(expectedGradients, gradients, "gradients");
    }

    // A plain sum passes the gradient that arrives on to both operands: neither may write its own over it.
    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void NormalisationsThatShareAnIncomingGradientLeaveItAlone(bool trains, bool swapped)
    {
        (float[] Output, float[] Gradients) Run(bool observed)
        {
            ModelGraph graph = Joined(swapped);
            var model = new TrainableModel(graph) { IsTraining = trains, RecordsInEvaluation = true };
            // Values that somebody looks at are computed one by one.
            IDisposable[] hidden = [.. graph.Nodes.Where(n => observed && n.OpType is "BatchNormalization" or "Add").Select(n => model.Observe(n.Outputs[0], _ => { }))];
            Tensor y = Step(model);
            foreach (IDisposable one in hidden) one.Dispose();
            Assert.Equal(observed ? 5 : 3, Recorded(y, "Add"));
            return (y.ToArray(), [.. model.Parameters.SelectMany(p => p.Grad!.ToArray())]);
        }
        (float[] output, float[] gradients) = Run(observed: false);
        (float[] expected, float[] expectedGradients) = Run(observed: true);
        Near.BitEqual(expected, output, "output");
        Near.BitEqual(expectedGradients, gradients, "gradients");
    }

    // A normalisation, a sum with nothing or with the normalised value itself, and a relu are not one pass.
    [Fact]
    public void ASumWithoutASecondOperandIsReported()
    {
        ModelGraph Summed(bool twice)
        {
            ModelGraph g = Network(1);
            Node relu = g.Nodes.First(n => n.OpType == "Relu");
            string normal = relu.Inputs[0];
            g.Nodes.Insert(g.Nodes.IndexOf(relu), new Node("sum", "Add", [normal, twice ? normal : ""], ["summed"]));
            relu.Inputs[0] = "summed";
            return g;
        }
        SparselandException e = Assert.ThrowsAny<SparselandException>(() => new TrainableModel(Summed(twice: false)).Forward(Input()));
        Assert.Contains("sum", e.Describe(), StringComparison.Ordinal);
        var model = new TrainableModel(Summed(twice: true)) { IsTraining = false };
        Near.Equal(Reference(model, Input()).Values.First().Span<float>(), model.Forward(Input()).Values, 1e-4, 1e-4, "twice");
    }

    [Theory, InlineData(false), InlineData(true)]
    public void GradientsDoNotDependOnTheNumberOfThreads(bool blocks)
    {
        int before = WorkPool.Threads;
        try
        {
            var gradients = new List<float[]>();
            foreach (int threads in (int[])[1, 2, 5])
            {
                WorkPool.Threads = threads;
                TrainableModel model = Masked(blocks ? Blocks() : Network(1), 0.5);
                Tensor x = Tensor.Normal(new Random(3), 24, 3, 32, 32);
                Loss.CrossEntropy(model.Forward(x), [.. Enumerable.Range(0, 24).Select(i => i % 5)]).Backward();
                gradients.Add([.. model.Parameters.SelectMany(p => p.Grad!.ToArray())]);
            }
            Near.BitEqual(gradients[0], gradients[1], "two threads");
            Near.BitEqual(gradients[0], gradients[2], "five threads");
        }
        finally
        {
            WorkPool.Threads = before;
        }
    }

    [Theory, InlineData(false), InlineData(true)]
    public void MemoryOfAStepIsReused(bool pools)
    {
        var model = new TrainableModel(Network(1, pools));
        var optimizer = new Sgd(model.Parameters, 0.01, 0.9);
        int samples = pools ? 64 : 16;
        Tensor x = Tensor.Normal(new Random(3), samples, 3, 16, 16);
        int[] y = [.. Enumerable.Range(0, samples).Select(i => i % 5)];
        void One()
        {
            Loss.CrossEntropy(model.Forward(x), y).Backward();
            optimizer.Step();
            optimizer.ZeroGrad();
        }
        for (int i = 0; i < 40; i++) One();
        long held = BufferPool.Shared.HeldBytes, before = GC.GetAllocatedBytesForCurrentThread();
        const int Steps = 300;
        for (int i = 0; i < Steps; i++) One();
        long each = (GC.GetAllocatedBytesForCurrentThread() - before) / Steps;
        // One activation of the first layer alone has 16 * 8 * 16 * 16 * 4 = 131 KB; so have the places of what the pooling of 64 pictures takes.
        Assert.True(each < 100_000, $"{each} bytes are allocated per step");
        Assert.True(BufferPool.Shared.HeldBytes <= held + 50_000_000, "the pool grows");
    }

    [Fact]
    public void DropoutFollowsSeedAndPass()
    {
        var g = new ModelGraph("dropout");
        g.Inputs.Add(new GraphValue("x", new TensorType(ElementType.Float32, null)));
        g.AddWeight(new Weight("ratio", TensorData.Scalar(0.5f)));
        g.Nodes.Add(new Node("drop", "Dropout", ["x", "ratio"], ["y"]));
        g.Outputs.Add(new GraphValue("y", new TensorType(ElementType.Float32, null)));
        var model = new TrainableModel(g, new TrainableModelOptions { Seed = 4 });
        Tensor x = Tensor.Ones(1000);
        float[] first = model.Forward(x).ToArray(), second = model.Forward(x).ToArray();
        Assert.NotEqual(first, second);
        model.TrainingPasses = 0;
        Assert.Equal(first, model.Forward(x).ToArray());
        Assert.InRange(first.Count(v => v == 2), 430, 570);
        Assert.Equal(1000, first.Count(v => v is 0 or 2));
        model.IsTraining = false;
        Assert.Equal(x.ToArray(), model.Forward(x).ToArray());
    }

    [Fact]
    public void AGradientThatIsNotDefinedNamesItsNode()
    {
        var g = new ModelGraph("blocked");
        g.AddWeight(new Weight("w", TensorData.Wrap(new float[] { 3, 1, 2 }, 3)));
        g.AddWeight(new Weight("k", TensorData.Vector(2L)));
        g.Nodes.Add(new Node("best", "TopK", ["w", "k"], ["values", "indices"]));
        g.Outputs.Add(new GraphValue("values", new TensorType(ElementType.Float32, null)));
        g.Outputs.Add(new GraphValue("indices", new TensorType(ElementType.Int64, null)));
        var model = new TrainableModel(g, new TrainableModelOptions { IsTrained = w => w.Name == "w" });
        IReadOnlyDictionary<string, ModelValue> outputs = model.Forward(new Dictionary<string, ModelValue>());
        Assert.Equal([3f, 2f], outputs["values"].Tensor.ToArray());
        Assert.Equal([0L, 2L], outputs["indices"].Data.ToInt64s());
        SparselandException e = Assert.Throws<SparselandException>(() => outputs["values"].Tensor.Sum().Backward());
        Assert.Equal("SL3001", e.Code);
        Assert.Contains("best", e.Message);
    }

    [Fact]
    public void WrongInputsAreNamed()
    {
        var model = new TrainableModel(Network(1));
        Assert.Contains("nonsense", Assert.Throws<ArgumentException>(() => model.Forward(new Dictionary<string, ModelValue> { ["nonsense"] = Input() })).Message);
        SparselandException e = Assert.ThrowsAny<SparselandException>(() => model.Forward(Tensor.Zeros(2, 7, 8, 8)));
        Assert.Contains("Conv", e.Describe());
    }

    private static Tensor Input() => Tensor.Normal(new Random(9), 4, 3, 9, 8);

    [Fact]
    public void NewMasksAndAveragesMeanTheSameForKeptEntriesAsForAll()
    {
        // One model's values, gradients and averages stay kept entries alone; the other's are made whole in every step.
        float[][] Train(bool whole)
        {
            TrainableModel model = Masked(Network(1), 1);
            var optimizer = new Sgd(model.Parameters, 0.05, 0.9, 1e-3);
            model.MaskChanged += optimizer.OnMaskChanged;
            var average = new WeightAverage(model, 0.8);
            var random = new Random(4);
            Parameter[] masked = [.. model.Parameters.Where(p => p.Mask is not null)];
            for (int step = 0; step < 8; step++)
            {
                optimizer.ZeroGrad();
                Step(model);
                if (whole) foreach (Parameter p in masked) _ = p.Value.Values[0];
                optimizer.Step();
                if (whole) foreach (Parameter p in masked) _ = p.Value.Values[0];
                average.Update();
                if (step % 3 != 2) continue;
                foreach (Parameter p in masked)
                {
                    float[] kept = p.KeptValues(), gathered = new float[kept.Length];
                    if (whole)
                    {
                        p.Mask!.Gather(p.Value.Values, gathered);
                        Assert.Equal(gathered, kept);
                    }
                    bool[] flags = p.Mask!.ToFlags();
                    random.Shuffle(flags);
                    model.SetMask(p, Mask.FromFlags(p.Value.Shape, flags));
                }
            }
            average.Apply();
            float[][] averages = [.. model.Parameters.Select(p => p.Value.ToArray())];
            average.Restore();
            return [.. model.Parameters.Select(p => p.Value.ToArray()), .. averages];
        }
        float[][] alone = Train(whole: false), made = Train(whole: true);
        for (int i = 0; i < alone.Length; i++) Assert.Equal(made[i], alone[i]);
    }

    /// <summary>How many operations of a name led to a value.</summary>
    private static int Recorded(Tensor y, string name)
    {
        var nodes = new List<GradientNode> { y.Producer! };
        for (int i = 0; i < nodes.Count; i++) nodes.AddRange(nodes[i].Edges.Select(e => e.Node).OfType<GradientNode>().Where(n => !nodes.Contains(n)).Distinct());
        return nodes.Count(n => n.Name == name);
    }

    private static Tensor Step(TrainableModel model)
    {
        Tensor y = model.Forward(Input());
        Loss.CrossEntropy(y, [0, 1, 2, 4]).Backward();
        return y;
    }

    private static ModelGraph Network(int stride, bool pools = false)
    {
        var b = new GraphBuilder("net", 3);
        Value x = b.Input("x", ElementType.Float32, Dimension.Named("n"), 3, Dimension.Named("h"), Dimension.Named("w"));
        Value h = b.Relu(b.BatchNorm(b.Conv(x, "first", 8, 3, stride: stride, padding: 1), "norm"));
        if (pools) h = b.MaxPool(h, 2);
        h = b.Relu(b.Conv(h, "second", 8, 3, padding: 1, groups: 2));
        h = b.Flatten(b.GlobalAveragePool(h));
        h = b.MatMul(h, b.Weight("product", TensorData.Wrap(Tensor.Normal(new Random(2), 8, 12).ToArray(), 8, 12)));
        b.Output("y", b.Linear(b.Relu(h), "head", 5));
        return b.Build();
    }

    private static ModelGraph Blocks()
    {
        var b = new GraphBuilder("blocks", 3);
        Value h = b.Input("x", ElementType.Float32, Dimension.Named("n"), 3, Dimension.Named("h"), Dimension.Named("w"));
        Value Normal(Value value, string name) => b.BatchNorm(b.Conv(value, name, 8, 3, padding: 1, bias: false), name + ".norm");
        h = b.Relu(Normal(h, "first"));
        Value before = h;
        h = b.Relu(b.Add(Normal(b.Relu(Normal(h, "a")), "b"), h));
        h = b.Relu(b.Add(h, Normal(h, "c")));
        // What is normalised is the shortcut as well.
        Value twice = b.Conv(h, "twice", 8, 3, padding: 1, bias: false);
        h = b.Relu(b.Add(b.BatchNorm(twice, "twice.norm"), twice));
        // The shortcut's own normalisation comes last: it is the one that can add what is there.
        Value direct = Normal(h, "d");
        h = b.Relu(b.Add(direct, Normal(before, "e")));
        Value pooled = b.GlobalAveragePool(h);
        h = b.Relu(b.Add(Normal(h, "f"), pooled));
        b.Output("y", b.Linear(b.Flatten(b.GlobalAveragePool(h)), "head", 5));
        return b.Build();
    }

    /// <summary>Branches that begin with one value, each a normalisation with something behind it, and plain sums of what they give.</summary>
    private static ModelGraph Joined(bool swapped)
    {
        var b = new GraphBuilder("joined", 3);
        Value x = b.Input("x", ElementType.Float32, Dimension.Named("n"), 3, Dimension.Named("h"), Dimension.Named("w"));
        Value Normal(Value value, string name) => b.BatchNorm(b.Conv(value, name, 8, 3, padding: 1, bias: false), name + ".norm");
        Value Sum(Value one, Value other) => swapped ? b.Add(other, one) : b.Add(one, other);
        Value h = b.Relu(Normal(x, "first"));
        Value summed = b.Relu(b.Add(Normal(h, "a"), h)), alike = b.Relu(b.Add(h, Normal(h, "b"))), relu = b.Relu(Normal(h, "c")), alone = Normal(h, "d");
        h = Sum(Sum(summed, alike), Sum(relu, alone));
        b.Output("y", b.Linear(b.Flatten(b.GlobalAveragePool(h)), "head", 5));
        return b.Build();
    }

    private static TrainableModel Masked(ModelGraph graph, double breakEven)
    {
        var model = new TrainableModel(graph, new TrainableModelOptions { LinearBreakEven = breakEven, ConvolutionBreakEven = breakEven });
        var random = new Random(11);
        foreach (Parameter p in model.Parameters.Where(p => p.Kind == ParameterKind.Weight))
        {
            var kept = new bool[p.Value.Length];
            for (int i = 0; i < kept.Length; i++) kept[i] = random.NextDouble() < 0.3;
            model.SetMask(p, Mask.FromFlags(p.Value.Shape, kept));
        }
        model.SyncToGraph();
        return model;
    }

    private static IReadOnlyDictionary<string, TensorData> Reference(TrainableModel model, Tensor x)
    {
        model.SyncToGraph();
        return GraphEvaluator.Run(model.Graph, new Dictionary<string, TensorData> { [model.Graph.Inputs[0].Name] = x.ToTensorData() });
    }
}
