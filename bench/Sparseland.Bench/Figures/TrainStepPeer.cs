namespace Sparseland.Bench.Figures;

/// <summary>One training step of a dense network in PyTorch per run, with given weights on a given batch.</summary>
internal sealed class TrainStepPeer : PyTorchPeer
{
    private readonly int _layouts;

    private TrainStepPeer(string model, string folder, string[] arguments) : base("train_step.py", folder, arguments) => _layouts = model == "mlp" ? 1 : 2;

    /// <summary>Starts the peer.</summary>
    /// <param name="model">resnet20 or mlp.</param>
    /// <param name="width">Channels of the first stage, or units of a hidden layer.</param>
    /// <param name="threads">Threads it may use.</param>
    /// <param name="subjects">Whose batch it gets, and whose weights: those of the first for its steps, all of them for <see cref="Gradients"/>.</param>
    /// <exception cref="InvalidOperationException">Python or PyTorch is not there.</exception>
    public static TrainStepPeer Start(string model, int width, int threads, IReadOnlyList<TrainStepSubject> subjects) => Start(folder =>
    {
        Write<float>(folder, "x.bin", subjects[0].Images);
        Write<long>(folder, "y.bin", subjects[0].Classes);
        for (int i = 0; i < subjects.Count; i++) Write<float>(folder, $"weights_{i}.bin", subjects[i].Weights());
    }, folder => new TrainStepPeer(model, folder, ["--model", model, "--width", Text(width), "--batch", Text(subjects[0].Classes.Length), "--threads", Text(threads)]));

    /// <summary>For each layout of images: the loss with a subject's weights, and behind it the gradient of every weight, also of removed ones.</summary>
    public IEnumerable<float[]> Gradients(int subject) => Enumerable.Range(0, _layouts).Select(layout => Numbers($"gradients_{subject}_{layout}.bin"));
}
