<?php

namespace Pepper\Bus;

/**
 * The first SDK's worker side.
 *
 *     $server = new PepperBusServer();
 *     $server->register("queue/topic", "Handler", "run");
 *     $server->parseRequest();
 *     if ($server->request->isQueueRequest()) {
 *         try { $server->process(); }
 *         catch (\Throwable $e) { $server->setResponse(500, $e->getCode(), $e->getMessage()); }
 *     } else {
 *         $server->setResponse(404, 1, "not found");
 *     }
 *     $server->commit();
 *
 * New code uses PepperBus::register()->do(), which does all of this.
 */
final class PepperBusServer
{
    /** @var Router */
    public $router;
    /** @var Request */
    public $request;
    /** @var Response */
    public $response;

    public function __construct()
    {
        $this->router = new Router();
        $this->request = new Request();
        $this->response = new Response(Response::FAILED, 1, 'process() was not called');
    }

    /**
     * @param string|object $class
     * @return $this
     * @throws ConfigException registered twice
     */
    public function register(string $path, $class, ?string $method = null): self
    {
        $parts = explode('/', $path, 2);
        $this->router->register($parts[0], $parts[1] ?? 'default', $class, $method);
        return $this;
    }

    public function parseRequest(): Request
    {
        return $this->request = Request::fromGlobals(Signature::configured(PepperBus::mainConfiguration()));
    }

    /**
     * Runs the handler, and sets the response unless it throws. With several jobs in the
     * request every job has its own outcome and nothing is thrown.
     *
     * @throws \Throwable whatever the handler throws for a single job
     */
    public function process(): Response
    {
        $this->response = $this->router->handle($this->request);
        $thrown = $this->router->thrown();
        if ($thrown !== null) {
            throw $thrown;
        }
        return $this->response;
    }

    /** @param int|string $errCode */
    public function setResponse(int $code, $errCode, string $content): void
    {
        $this->response = new Response($code, (int) $errCode, $content);
        if ($this->request->type === 'ping' && $code === Response::OK) {
            $this->response->topics = implode(',', $this->router->paths());
        }
    }

    /** Sends the response. */
    public function commit(): void
    {
        Guard::install()->commit($this->response);
    }
}
