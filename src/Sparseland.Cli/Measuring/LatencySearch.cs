using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Structured;
using Sparseland.Runtime;

namespace Sparseland.Cli.Measuring;

/// <summary>Finds how many channels must leave until one run takes at most so long: candidates are cut, compiled and timed on this machine.</summary>
/// <remarks>What is measured is the lean runtime at batch 1 with the threads in use; the share of multiply-adds that was found becomes the recipe's target.</remarks>
internal static class LatencySearch
{
    private const int Steps = 7;

    /// <summary>The request with the largest share of multiply-adds that meets its latency; unchanged when it asks for none.</summary>
    /// <exception cref="VerbException">SL5103: no removal of channels is fast enough; the fastest is named (exit 5).</exception>
    public static async Task<PruneRequest> SolveAsync(VerbContext context, ModelGraph graph, PruneRequest request)
    {
        if (request.LatencyMs is not { } target) return request;
        Dictionary<string, TensorType> types = Verbs.InspectVerb.BatchTypes(graph, 1);
        DependencyGraph dependencies = DependencyGraph.Build(graph, context.Cancellation);
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, 1, 64, context.Settings.Seed);
        double dense = Time(context, graph, inputs);
        context.Say($"one run takes {dense:0.###} ms as the model is; {target:0.###} ms are wanted");
        if (dense <= target) return At(request, 1);

        double least = At(request, 0.001).Channels!.Plan(dependencies, types, context.Cancellation).NearestFeasible;
        int measured = 0;
        (double keep, double time) = await context.TrackAsync("searching", Steps + 1, work => Find(share =>
        {
            context.Cancellation.ThrowIfCancellationRequested();
            ChannelPlan plan = At(request, share).Channels!.Plan(dependencies, types, context.Cancellation);
            double ms = Time(context, Surgeon.Remove(plan.Removal).Graph, inputs);
            work.Report(++measured, $"{plan.Achieved:P0} of the multiply-adds take {ms:0.###} ms");
            return ms;
        }, Math.Min(1, least + 1e-9), target)).ConfigureAwait(false);
        if (time > target)
        {
            throw new VerbException(ExitCodes.GateNotMet, "SL5103", $"{target:0.###} ms cannot be reached by removing channels; the fastest is {time:0.###} ms")
            {
                Because = $"one run takes {time:0.###} ms on this machine when the least is left, {least:P1} of the multiply-adds; {dense:0.###} ms as the model is",
                Try = $"--latency {time * 1.05:0.###}ms, a lower --layer-floor, or fewer excluded layers",
            };
        }
        context.Say($"{keep:P1} of the multiply-adds take {time:0.###} ms");
        return At(request, keep);
    }

    /// <summary>The largest share that takes at most the target, by bisection; the least share with its time when that is too slow as well.</summary>
    /// <param name="measure">Milliseconds at a share.</param>
    /// <param name="least">The smallest share that can be reached.</param>
    /// <param name="target">Milliseconds.</param>
    internal static (double Keep, double Milliseconds) Find(Func<double, double> measure, double least, double target)
    {
        (double Keep, double Milliseconds) best = (least, measure(least));
        if (best.Milliseconds > target) return best;
        double low = least, high = 1;
        for (int step = 0; step < Steps; step++)
        {
            double middle = (low + high) / 2, time = measure(middle);
            if (time <= target) (low, best) = (middle, (middle, time));
            else high = middle;
        }
        return best;
    }

    private static PruneRequest At(PruneRequest request, double keep) =>
        request with { Recipe = request.Recipe.With("sparsity", Math.Clamp(1 - keep, 0, 0.999999).ToString("R", System.Globalization.CultureInfo.InvariantCulture)) };

    private static double Time(VerbContext context, ModelGraph graph, Dictionary<string, TensorData> inputs)
    {
        var session = new InferenceSession(graph, MachineTable.Options());
        return InterleavedTimer.Measure([("run", () => session.Run(inputs, context.Cancellation))], new TimingOptions(30, 0.3, MostSeconds: 5), cancellation: context.Cancellation)[0].Median;
    }
}
