using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Selection;
using Sparseland.Reproductions.Running;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Losses;
using Sparseland.Training.Optimizers;

namespace Sparseland.Reproductions.Papers;

/// <summary>Soft shrinkage on its own ground: a small super-resolution network and photographs.</summary>
internal sealed class SuperResolution : IReproduction
{
    public string Id => "super-resolution";

    public string Title => "Iterative soft shrinkage, on super-resolution";

    public IReadOnlyList<string> Methods => ["iss"];

    public string Paper => "Wang, Wang, Zhang, Fu and Tao: Iterative Soft Shrinkage Learning for Efficient Image Super-Resolution, ICCV 2023";

    public string Claim => "a sparse super-resolution network that shrinks its small weights softly while it is trained is better than one that sets them to zero at every step, and than one whose mask was chosen at initialisation";

    public string Figure => "better PSNR than all baselines at 90 to 99 % on SwinIR-Lightweight, EDSR-L and CAT-R, factors 2 to 4 (abstract)";

    public string Setup => "factor 2; four 3 x 3 convolutions of 32 channels and a pixel shuffle added to the enlarged input, grey photographs (68 to train, 12 to test), patches of 16 pixels, batch 16, Adam 2e-3, L1 loss; 1,000 steps of shrinking and 1,000 with the mask at a rate falling to zero, 95 % of every layer (the paper: networks of millions of weights, hundreds of thousands of steps, a tenth of the rate: a weight that loses 5 % a step comes to rest at up to 20 steps of Adam, 0.04 here and 0.004 there, so what the cut takes away is not as small as it should be)";

    public IReadOnlyList<string> Baselines => ["hard thresholding (factor 0)", "magnitude mask at initialisation", "dense"];

    public IReadOnlyList<Rule> Rules =>
    [
        Rule.Exceeds("factor 0.95", "factor 0", 0.05, "soft is better than hard, in dB"),
        Rule.Exceeds("factor 0.95", "at initialisation", 0.3, "better than a mask from initialisation, in dB"),
    ];

    public void Run(ReproductionRun run)
    {
        SuperResolutionSet set = SuperResolutionSet.Open(run);
        long steps = run.Pick(20, 2000, 20_000);
        string[] arms = ["dense", "factor 0.95", "factor 0", "at initialisation"];
        for (int a = 0; a < arms.Length; a++)
        {
            var model = new TrainableModel(Network(run.Seed));
            int done = a;
            Train(model, set, run, arms[a], steps, share => run.Report((done + share) / arms.Length, arms[done]));
            run.Measure(arms[a], set.Psnr(model));
        }
    }

    /// <summary>x + shuffle(conv(relu(conv(relu(conv(relu(conv(x)))))))): the enlarged input is what an average would undo.</summary>
    private static ModelGraph Network(int seed)
    {
        var g = new GraphBuilder("super-resolution", seed);
        Value x = g.Input("small", ElementType.Float32, Dimension.Named("batch"), 1, Dimension.Named("height"), Dimension.Named("width"));
        Value h = x;
        for (int i = 0; i < 3; i++) h = g.Relu(g.Conv(h, $"conv{i + 1}", 32, 3, padding: 1));
        h = g.Conv(h, "conv4", 4, 3, padding: 1);
        // Four copies of the input shuffled together are its enlargement by repetition.
        h = g.Add(h, g.Concat(1, x, x, x, x));
        return g.Output("large", g.Add("DepthToSpace", [h], a => a.Set("blocksize", 2L))).Build();
    }

    private static void Train(TrainableModel model, SuperResolutionSet set, ReproductionRun run, string arm, long steps, Action<double> report)
    {
        const double Sparsity = 0.95;
        PruningTarget target = PruningTarget.Of(model);
        long stage = steps / 2;
        float? factor = arm switch { "factor 0.95" => 0.95f, "factor 0" => 0f, _ => null };
        if (arm == "at initialisation") foreach (PrunableLayer layer in target.Layers) Cut(layer);
        var optimizer = new Adam(model.Parameters, 2e-3, beta2: 0.99);
        void OnMask(Parameter p, Mask? before, Mask? after) => optimizer.OnMaskChanged(p, before, after);
        model.MaskChanged += OnMask;
        for (long step = 0; step < steps; step++)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            (Tensor small, Tensor large) = set.Batch(run.Seed, step, run.Pick(4, 16, 16), 16);
            optimizer.LearningRate = step < stage ? 2e-3 : 2e-3 * (steps - step) / (steps - stage);
            model.ZeroGrad();
            Loss.MeanAbsoluteError(model.Forward(new ModelValue(small)), large).Backward();
            optimizer.Step();
            if (factor is { } f && step < stage)
            {
                foreach (PrunableLayer layer in target.Layers)
                {
                    if (step == stage - 1)
                    {
                        Cut(layer);
                        continue;
                    }
                    Parameter p = model.Parameter(layer.Name);
                    _ = IterativeShrinkage.Shrink(p.Value.Values, IterativeShrinkage.RemovedCount(Sparsity, layer.Length), f);
                    p.TouchValues();
                }
            }
            if (step % 20 == 0) report((double)step / steps);
        }
        report(1);
        model.MaskChanged -= OnMask;

        void Cut(PrunableLayer layer) => target.SetMask(layer, Mask.FromFlags(layer.Shape.ToArray(),
            ExactSelection.KeepBest(Array.ConvertAll(target.Values(layer), MathF.Abs), layer.Length - IterativeShrinkage.RemovedCount(Sparsity, layer.Length))));
    }
}
